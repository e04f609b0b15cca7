// Sending: each message has a nonce that makes a second try harmless, is shown at once as pending, and stays as
// failed with a way to send it again when no answer came.

import { $ } from "./dom.js";

/** We say that somebody types at most so often; listeners show it for ten seconds. */
const TYPING_EVERY_MS = 8_000;
/** Lines a long draft may grow to before it scrolls; in pixels. */
const HEIGHT_MAX = 180;

export class Outbox {
  #state;
  #api;
  #changed;
  /** The last sending of each channel: one after the other, so that they arrive in the order they were written. */
  #queue = new Map();
  #drafts = new Map();
  #typed = new Map();
  #text = $("text");

  /** `changed()` when what is on its way has changed. */
  constructor(state, api, changed) {
    this.#state = state;
    this.#api = api;
    this.#changed = changed;
    $("composer").onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    this.#text.onkeydown = (event) => {
      // While an input method composes a character, Enter belongs to it.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    };
    this.#text.oninput = () => this.#wrote();
  }

  /** Another channel is looked at: its own draft stands there. */
  open(id, name) {
    this.#text.value = this.#drafts.get(id) ?? "";
    this.#text.placeholder = `Message ${name}`;
    this.#text.setAttribute("aria-label", `Message ${name}`);
    this.#fit();
    // On a touch screen the keyboard would cover what was just opened.
    if (matchMedia("(hover: hover)").matches) this.#text.focus();
  }

  again(timeline, sending) {
    sending.state = "pending";
    this.#send(timeline, sending);
  }

  discard(timeline, sending) {
    timeline.outbox = timeline.outbox.filter((other) => other !== sending);
    this.#changed();
  }

  #submit() {
    const content = this.#text.value.trim();
    const channel = this.#state.open;
    if (content === "" || !channel) return;
    this.#text.value = "";
    this.#drafts.delete(channel);
    this.#typed.delete(channel);
    this.#fit();
    const sending = { nonce: nonce(), content, state: "pending", why: "" };
    const timeline = this.#state.timeline(channel);
    timeline.outbox.push(sending);
    this.#send(timeline, sending);
  }

  #send(timeline, sending) {
    const before = this.#queue.get(timeline.channel) ?? Promise.resolve();
    this.#queue.set(timeline.channel, before.then(() => this.#deliver(timeline, sending)));
    this.#changed();
  }

  async #deliver(timeline, sending) {
    try {
      const message = await this.#api.say(timeline.channel, sending.content, sending.nonce);
      // The gateway may have told us first; then this changes nothing.
      timeline.add([{ ...message, nonce: sending.nonce }]);
    } catch (error) {
      // An error that comes after the message itself was heard is not one.
      Object.assign(sending, { state: "failed", why: error.message });
    }
    this.#changed();
  }

  #wrote() {
    const channel = this.#state.open;
    this.#fit();
    if (!channel) return;
    this.#drafts.set(channel, this.#text.value);
    const now = Date.now();
    if (this.#text.value.trim() === "" || now - (this.#typed.get(channel) ?? 0) < TYPING_EVERY_MS) return;
    this.#typed.set(channel, now);
    // Nobody misses it when it fails.
    this.#api.typing(channel).catch(() => {});
  }

  #fit() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${Math.min(this.#text.scrollHeight + 2, HEIGHT_MAX)}px`;
  }
}

/** 24 hexadecimal digits. */
function nonce() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
