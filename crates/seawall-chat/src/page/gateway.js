// One gateway session over as many connections as it takes: IDENTIFY once, then RESUME after every loss, so that
// nothing is missed and nothing comes twice. A new READY comes only when the server says that the session is gone.

const OP = {
  DISPATCH: 0, HEARTBEAT: 1, IDENTIFY: 2, RESUME: 6, RECONNECT: 7, INVALID_SESSION: 9, HELLO: 10, HEARTBEAT_ACK: 11,
};

/** GUILDS, MEMBERS, PRESENCES, MESSAGES, TYPING, DIRECT_MESSAGES, DIRECT_TYPING, MESSAGE_CONTENT. */
const INTENTS = 1 | 1 << 1 | 1 << 8 | 1 << 9 | 1 << 11 | 1 << 12 | 1 << 14 | 1 << 15;

/** Close codes after which the same try would end the same way, and what to tell the user. */
const FINAL = new Map([
  [4004, "This token is not valid, or not any more."],
  [4010, "The server refused this session."],
  [4011, "You are in too many guilds for one page."],
  [4012, "The server speaks another version."],
  [4013, "The server does not know what this page asks for."],
  [4014, "This user may not see what this page asks for."],
]);

/** Pauses before a new connection: full jitter under a bound that doubles. */
const PAUSE_MS = 500;
const PAUSE_MS_MAX = 20_000;
/** From the start of a connection to HELLO. */
const HELLO_MS = 10_000;
/** Sent when we leave a connection and mean to come back: 1000 and 1001 would end the session. */
const COME_BACK = 4000;

export class Gateway {
  #token;
  #tell;
  #socket = null;
  #session = null;
  #path = "/";
  #seq = null;
  #failures = 0;
  #timer = 0;
  #beat = 0;
  #acked = true;
  #over = false;
  #online = () => this.#hurry();

  /**
   * `tell` has `dispatch(t, d)`, `refused(why)` and `status(state)` with connecting, connected, reconnecting or
   * resumed.
   */
  constructor(token, tell) {
    this.#token = token;
    this.#tell = tell;
    addEventListener("online", this.#online);
    tell.status("connecting");
    this.#connect();
  }

  /** Ends the session for good. */
  stop() {
    this.#over = true;
    removeEventListener("online", this.#online);
    clearTimeout(this.#timer);
    this.#leave(1000);
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    // Always the address this page came from: READY's may be one that the browser cannot reach. Its path is kept,
    // by which a balancer finds the gateway that knows us.
    const socket = new WebSocket(`${scheme}//${location.host}${this.#path}?v=10&encoding=json`);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost(), HELLO_MS);
    socket.onmessage = (event) => this.#take(JSON.parse(event.data));
    socket.onclose = (event) => this.#closed(event.code);
  }

  #take({ op, d, s, t }) {
    switch (op) {
      case OP.HELLO:
        clearTimeout(this.#timer);
        this.#acked = true;
        this.#beat = setTimeout(() => this.#heartbeat(d.heartbeat_interval), Math.random() * d.heartbeat_interval);
        return this.#introduce();
      case OP.DISPATCH:
        this.#seq = s;
        return this.#dispatch(t, d);
      case OP.HEARTBEAT:
        return this.#send(OP.HEARTBEAT, this.#seq);
      case OP.HEARTBEAT_ACK:
        this.#acked = true;
        return;
      case OP.RECONNECT:
        return this.#lost();
      case OP.INVALID_SESSION:
        if (!d) this.#forget();
        // The protocol asks for a pause, so that a crowd turned away does not come back at once.
        return this.#lost(1000 + Math.random() * 4000);
    }
  }

  #introduce() {
    if (this.#session) {
      return this.#send(OP.RESUME, { token: this.#token, session_id: this.#session, seq: this.#seq });
    }
    const properties = { os: "browser", browser: "seawall page", device: "seawall page" };
    const presence = { status: "online", since: null, activities: [], afk: false };
    this.#send(OP.IDENTIFY, { token: this.#token, intents: INTENTS, large_threshold: 250, properties, presence });
  }

  #dispatch(t, d) {
    if (t === "READY") {
      this.#session = d.session_id;
      this.#path = pathOf(d.resume_gateway_url);
    }
    this.#tell.dispatch(t, d);
    if (t === "READY" || t === "RESUMED") {
      this.#failures = 0;
      this.#tell.status(t === "READY" ? "connected" : "resumed");
    }
  }

  #heartbeat(interval) {
    // A server that did not answer the last one is gone, whatever the socket believes.
    if (!this.#acked) return this.#lost();
    this.#acked = false;
    this.#send(OP.HEARTBEAT, this.#seq);
    this.#beat = setTimeout(() => this.#heartbeat(interval), interval);
  }

  #closed(code) {
    const why = FINAL.get(code);
    if (why) {
      this.stop();
      return this.#tell.refused(why);
    }
    // A number the server never gave, or a session whose time is over: both are settled by a new one.
    if (code === 4007 || code === 4009) this.#forget();
    this.#lost();
  }

  #forget() {
    this.#session = null;
    this.#seq = null;
    this.#path = "/";
  }

  #lost(pause = Math.random() * Math.min(PAUSE_MS_MAX, PAUSE_MS * 2 ** this.#failures)) {
    this.#leave(COME_BACK);
    if (this.#over) return;
    this.#failures += 1;
    this.#tell.status("reconnecting");
    this.#timer = setTimeout(() => this.#connect(), pause);
  }

  /** The network is back: no need to wait any longer. */
  #hurry() {
    if (this.#socket || this.#over) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  #leave(code) {
    clearTimeout(this.#timer);
    clearTimeout(this.#beat);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    // A dead network closes late; nothing that this connection still says may count.
    socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  #send(op, d) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ op, d }));
  }
}

function pathOf(url) {
  try {
    return new URL(url).pathname;
  } catch {
    return "/";
  }
}
