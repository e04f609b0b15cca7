// The middle: messages of the open channel, older ones on scrolling up, what is on its way, who is typing.

import { $, Kept, arrange, avatar, byId, el, write } from "./dom.js";
import { words } from "./words.js";

/** So near to the end, in pixels, counts as reading the newest. */
const NEAR_END = 60;
/** So near to the top, older messages are fetched. */
const NEAR_TOP = 400;
/** Messages of one author within this time stand under one name. */
const TOGETHER_MS = 5 * 60_000;

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "medium" });

export class Talk {
  #state;
  #api;
  #outbox;
  #kept = new Kept();
  #box = $("timeline");
  /** Follows the newest message, as long as its reader has not scrolled up. */
  #following = true;
  /** What had been read when the channel was opened with something unread in it: the line "New" stands below it. */
  #readBefore = null;

  constructor(state, api, outbox) {
    this.#state = state;
    this.#api = api;
    this.#outbox = outbox;
    this.#box.onscroll = () => this.#scrolled();
    $("newest").onclick = () => {
      this.#toEnd();
      this.#box.focus();
    };
    // On a phone the keyboard comes and goes: whoever was at the end stays there.
    new ResizeObserver(() => this.#following && this.#toEnd()).observe(this.#box);
  }

  /** Shows another channel. */
  open(id) {
    this.#readBefore = this.#state.isUnread(this.#state.channel(id)) ? this.#state.readUpTo(id) : null;
    this.#following = true;
    this.draw();
    this.#seen();
  }

  draw() {
    const state = this.#state;
    const channel = state.open && state.channel(state.open);
    $("composer").hidden = !channel;
    write($("channel-name"), channel ? channel.name ? `# ${channel.name}` : state.directName(channel) : "");
    write($("channel-topic"), channel?.topic ?? "");
    $("hint").hidden = Boolean(channel);
    if (!channel) return arrange(this.#box, []);
    const timeline = state.timeline(channel.id);
    if (this.#following) timeline.trim();
    const anchor = this.#anchor();
    this.#kept.begin();
    arrange(this.#box, [this.#top(timeline), ...this.#rows(timeline), ...this.#sending(timeline)]);
    if (this.#following) this.#toEnd();
    else if (anchor?.element.isConnected) this.#box.scrollTop += anchor.element.offsetTop - anchor.top;
    if (!timeline.loaded && !timeline.trouble) this.#older();
  }

  drawTyping() {
    const names = this.#state.open ? this.#state.typing(this.#state.open) : [];
    const text = names.length === 0 ? "" : names.length === 1 ? `${names[0]} is typing…`
      : names.length <= 3 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)} are typing…`
      : "Several people are typing…";
    write($("typing"), text);
  }

  /** What is on the screen counts as read. */
  #seen() {
    if (this.#state.open && this.#following && document.visibilityState === "visible") {
      this.#state.markRead(this.#state.open);
    }
  }

  /** The page is looked at again. */
  looked() {
    this.#seen();
  }

  /** The first message in sight and where it stands, so that it stays there when others come above it. */
  #anchor() {
    const top = this.#box.scrollTop;
    const element = [...this.#box.querySelectorAll(".message")].find((m) => m.offsetTop + m.offsetHeight > top);
    return element && { element, top: element.offsetTop };
  }

  #toEnd() {
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#following = true;
    $("newest").hidden = true;
    this.#seen();
  }

  #scrolled() {
    const below = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight;
    this.#following = below < NEAR_END;
    $("newest").hidden = this.#following;
    if (this.#following) this.#seen();
    const timeline = this.#state.open && this.#state.timeline(this.#state.open);
    if (timeline && this.#box.scrollTop < NEAR_TOP && !timeline.trouble) this.#older();
  }

  async #older() {
    const timeline = this.#state.timeline(this.#state.open);
    if (timeline.loading) return;
    if (await timeline.older(this.#api) && timeline.channel === this.#state.open) {
      this.draw();
      const filled = this.#box.scrollHeight > this.#box.clientHeight + NEAR_TOP;
      if (!filled && timeline.loaded && !timeline.complete && !timeline.trouble) this.#older();
    }
  }

  /** What stands above the oldest message; always there, so that nothing jumps when it changes. */
  #top(timeline) {
    const row = this.#kept.get("top", () => el("p", { className: "edge" }));
    if (timeline.trouble) {
      const again = () => {
        timeline.trouble = null;
        this.#older();
      };
      row.replaceChildren(`The history cannot be read: ${timeline.trouble} `,
        el("button", { type: "button", className: "quiet", textContent: "Try again", onclick: again }));
    } else {
      write(row, timeline.complete ? "This is the beginning." : "Loading older messages…");
    }
    return row;
  }

  #rows(timeline) {
    const rows = [];
    let before = null;
    for (const message of timeline.messages) {
      const day = DAY.format(new Date(message.timestamp));
      if (!before || DAY.format(new Date(before.timestamp)) !== day) {
        rows.push(this.#kept.get(`day ${day}`, () => el("h3", { className: "day", textContent: day })));
        before = null;
      }
      if (this.#isFirstNew(message, before, timeline)) {
        rows.push(this.#kept.get("new", () => el("p", { className: "new", textContent: "New" })));
        before = null;
      }
      rows.push(this.#message(message, before));
      before = message;
    }
    return rows;
  }

  #isFirstNew(message, before, timeline) {
    const read = this.#readBefore;
    if (read === null || byId(message.id, read) <= 0 || message.author.id === this.#state.me.id) return false;
    const previous = before ?? timeline.messages[timeline.messages.indexOf(message) - 1];
    return previous !== undefined && byId(previous.id, read) <= 0;
  }

  #message(message, before) {
    const follows = before?.author.id === message.author.id
      && Date.parse(message.timestamp) - Date.parse(before.timestamp) < TOGETHER_MS;
    const name = this.#state.nameIn(message.channel_id, message.author);
    const key = JSON.stringify([message.id, message.content, message.edited_timestamp, name, follows]);
    return this.#kept.get(key, () => {
      const at = new Date(message.timestamp);
      const time = el("time", { dateTime: message.timestamp, textContent: TIME.format(at), title: FULL.format(at) });
      const content = el("p", { className: "content" }, ...words(message, this.#state));
      if (message.edited_timestamp) content.append(el("span", { className: "edited", textContent: " (edited)" }));
      const head = follows ? el("p", { className: "head unseen" }, name, time)
        : el("p", { className: "head" }, el("span", { className: "author", textContent: name }),
          message.author.bot ? el("span", { className: "badge", textContent: "bot" }) : null, time);
      return el("article", { className: follows ? "message follows" : "message", data: { id: message.id } },
        follows ? null : avatar(message.author), head, content);
    });
  }

  #sending(timeline) {
    return timeline.outbox.map((sending) => {
      const key = JSON.stringify([sending.nonce, sending.state, sending.why]);
      return this.#kept.get(key, () => {
        const failed = sending.state === "failed";
        const actions = failed ? el("p", { className: "failure", attrs: { role: "alert" } },
          `Not sent: ${sending.why} `,
          el("button", { type: "button", className: "quiet", textContent: "Send again",
            onclick: () => this.#outbox.again(timeline, sending) }),
          el("button", { type: "button", className: "quiet", textContent: "Discard",
            onclick: () => this.#outbox.discard(timeline, sending) })) : null;
        return el("article", { className: `message ${sending.state}`, data: { nonce: sending.nonce } },
          avatar(this.#state.me),
          el("p", { className: "head" },
            el("span", { className: "author", textContent: this.#state.nameIn(timeline.channel, this.#state.me) }),
            el("span", { className: "sending", textContent: failed ? "not sent" : "sending…" })),
          el("p", { className: "content", textContent: sending.content }), actions);
      });
    });
  }
}
