// The messages kept of one channel, in order, each once, however they came: history, dispatch, or our own sending.

import { byId } from "./dom.js";

/** One page of history. */
const PAGE = 50;
/** Messages kept when the reader is at the newest; older ones are fetched again on scrolling up. */
const KEPT_MAX = 500;

export class Timeline {
  channel;
  /** Oldest first. */
  messages = [];
  /** Ours on their way: `{ nonce, content, state: "pending" | "failed", why }`. */
  outbox = [];
  /** Whether the channel's first message is here. */
  complete = false;
  /** Whether history was read at all. */
  loaded = false;
  /** Why history could not be read. */
  trouble = null;
  #loading = false;
  /** Counts how often everything was forgotten: a page asked for before that must not come in after it. */
  #life = 0;
  /** Deleted while a page was on its way, which may still hold them. */
  #gone = new Set();

  constructor(channel) {
    this.channel = channel;
  }

  get loading() {
    return this.#loading;
  }

  /** Fetches the newest page, or the one before the oldest message here. True when something changed. */
  async older(api) {
    if (this.#loading || this.complete) return false;
    this.#loading = true;
    const life = this.#life;
    try {
      const before = this.loaded ? this.messages[0]?.id : undefined;
      const page = await api.history(this.channel, PAGE, before);
      if (life !== this.#life) return true;
      this.complete = page.length < PAGE;
      this.loaded = true;
      this.trouble = null;
      this.add(page.filter((message) => !this.#gone.has(message.id)));
    } catch (error) {
      this.trouble = error.message;
    } finally {
      this.#loading = false;
      this.#gone.clear();
    }
    return true;
  }

  /** Takes messages in; those already here are replaced, and those we were sending have arrived. */
  add(messages) {
    const byTheirId = new Map(this.messages.map((message) => [message.id, message]));
    const arrived = new Set();
    for (const message of messages) {
      byTheirId.set(message.id, message);
      if (message.nonce !== undefined) arrived.add(String(message.nonce));
    }
    // Almost always it is the newest, and there is nothing to sort.
    this.messages = [...byTheirId.values()];
    if (!inOrder(this.messages)) this.messages.sort((a, b) => byId(a.id, b.id));
    this.outbox = this.outbox.filter((sending) => !arrived.has(sending.nonce));
  }

  /** A changed message; one that is not here stays away. */
  replace(message) {
    const at = this.messages.findIndex((known) => known.id === message.id);
    if (at >= 0) this.messages[at] = { ...this.messages[at], ...message };
  }

  drop(ids) {
    const gone = new Set(ids);
    if (this.#loading) ids.forEach((id) => this.#gone.add(id));
    this.messages = this.messages.filter((message) => !gone.has(message.id));
  }

  /** What is here may have holes: only what we were sending stays. */
  forget() {
    this.#life += 1;
    this.messages = [];
    this.complete = this.loaded = false;
    this.trouble = null;
  }

  /** Lets go of the oldest when there are too many; not while a page that joins them is on its way. */
  trim() {
    if (this.#loading || this.messages.length <= KEPT_MAX) return;
    this.messages = this.messages.slice(-KEPT_MAX);
    this.complete = false;
  }
}

const inOrder = (messages) => messages.every((m, i) => i === 0 || byId(messages[i - 1].id, m.id) < 0);
