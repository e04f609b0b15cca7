// Start reading here: logs in, then ties the gateway (gateway.js) to what we know (state.js) and that to what is
// drawn: places.js, talk.js, people.js. Sending is outbox.js, REST api.js.

import { Api, ApiError } from "./api.js";
import { $ } from "./dom.js";
import { Gateway } from "./gateway.js";
import { Invites } from "./invites.js";
import { Outbox } from "./outbox.js";
import { People } from "./people.js";
import { Places } from "./places.js";
import { State } from "./state.js";
import { Talk } from "./talk.js";

/** Kept for this tab only, and gone when it is closed. */
const TOKEN_KEY = "seawall-chat-token";
/** The channel last looked at in this tab. */
const OPEN_KEY = "seawall-chat-open";
/** Why the last session ended, to be said once above the login. */
const WHY_KEY = "seawall-chat-why";
/** A burst of dispatches is drawn once in so many milliseconds. */
const DRAW_MS = 16;

const STATUS = {
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  resumed: "Resumed, nothing missed",
};
/** "Resumed" is news for so long. */
const RESUMED_MS = 5_000;

function session(token) {
  const api = new Api(token);
  const dirty = new Set();
  const state = new State((part) => {
    if (dirty.size === 0) setTimeout(draw, DRAW_MS);
    dirty.add(part);
  });
  const outbox = new Outbox(state, api, () => state.open && talk.draw());
  const talk = new Talk(state, api, outbox);
  const invites = new Invites(state, api);
  const places = new Places(state, { open, invite: (guild) => invites.open(guild) });
  const people = new People(state, direct);
  const gateway = new Gateway(token, {
    dispatch: (t, d) => state.apply(t, d),
    status: showStatus,
    refused: leave,
  });
  document.onvisibilitychange = () => talk.looked();
  $("log-out").onclick = () => leave("");

  function draw() {
    const parts = [...dirty];
    dirty.clear();
    if (!state.me) return;
    if (!state.open || !state.channel(state.open)) settle();
    if (parts.includes("places")) places.draw();
    if (parts.includes("timeline")) talk.draw();
    if (parts.includes("members")) people.draw();
    if (parts.includes("typing")) talk.drawTyping();
  }

  /** Somewhere to be: where we last were, or the first channel there is. */
  function settle() {
    const last = sessionStorage.getItem(OPEN_KEY);
    const channels = [...state.guilds.values()].flatMap((guild) => state.textChannels(guild));
    const home = state.channel(last) ?? channels[0] ?? state.directList()[0];
    if (home) return open(home.id);
    state.open = null;
    $("hint").textContent = "You are in no guild yet. Join one with an invite.";
    talk.draw();
  }

  function open(id) {
    state.open = id;
    sessionStorage.setItem(OPEN_KEY, id);
    const channel = state.channel(id);
    outbox.open(id, channel.name ? `#${channel.name}` : state.directName(channel));
    talk.open(id);
    talk.drawTyping();
    places.draw();
    people.draw();
    drawers(false, null);
  }

  async function direct(user) {
    try {
      const channel = await api.directWith(user);
      state.apply("CHANNEL_CREATE", channel);
      open(channel.id);
    } catch (error) {
      $("hint").hidden = false;
      $("hint").textContent = error.message;
    }
  }

  function leave(why) {
    gateway.stop();
    sessionStorage.removeItem(TOKEN_KEY);
    sessionStorage.removeItem(OPEN_KEY);
    sessionStorage.setItem(WHY_KEY, why);
    // Nothing of one user may be left for the next.
    location.reload();
  }
}

function showStatus(state) {
  const status = $("status");
  status.dataset.state = state;
  status.textContent = STATUS[state];
  if (state !== "resumed") return;
  status.dataset.resumes = Number(status.dataset.resumes) + 1;
  setTimeout(() => {
    if (status.dataset.state === "resumed") status.textContent = STATUS.connected;
  }, RESUMED_MS);
}

/** Opens and closes the lists at the sides; on a narrow screen they lie over the messages, one at a time. */
function drawers(places, members) {
  const narrow = matchMedia("(max-width: 800px)").matches;
  const app = $("app");
  const shown = members ?? (narrow ? false : app.dataset.members !== "hidden");
  app.dataset.places = places ? "shown" : "hidden";
  app.dataset.members = shown ? "shown" : "hidden";
  $("show-places").setAttribute("aria-expanded", String(places));
  $("show-members").setAttribute("aria-expanded", String(shown));
  $("shade").hidden = !narrow || !(places || shown);
}

function wireDrawers() {
  const app = $("app");
  $("show-places").onclick = () => drawers(app.dataset.places !== "shown", null);
  $("show-members").onclick = () => drawers(false, app.dataset.members !== "shown");
  $("shade").onclick = () => drawers(false, false);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !$("shade").hidden) drawers(false, false);
  });
  matchMedia("(max-width: 800px)").onchange = (query) => drawers(false, !query.matches);
  drawers(false, null);
}

function begin(token) {
  $("login").hidden = true;
  $("app").hidden = false;
  wireDrawers();
  session(token);
}

/** A token is tried before it is kept, so that a wrong one is answered where it was typed. */
async function logIn(event) {
  event.preventDefault();
  const token = $("token").value.trim();
  try {
    await new Api(token).me();
  } catch (error) {
    const wrong = error instanceof ApiError && error.status === 401;
    $("login-error").textContent = wrong ? "This token is not valid." : error.message;
    return;
  }
  $("token").value = "";
  $("login-error").textContent = "";
  sessionStorage.setItem(TOKEN_KEY, token);
  begin(token);
}

$("login-form").onsubmit = logIn;
const kept = sessionStorage.getItem(TOKEN_KEY);
if (kept) {
  begin(kept);
} else {
  $("login-error").textContent = sessionStorage.getItem(WHY_KEY) ?? "";
  sessionStorage.removeItem(WHY_KEY);
  $("token").focus();
}
