// REST: one call, its error in words, and patience with limits.

/** How often one call waits because it was told to come back later. */
const WAITS_MAX = 3;
/** The longest such wait in seconds; whoever is told to wait longer tells its user. */
const WAIT_MAX = 10;
/** After so long without an answer a call has failed. */
const PATIENCE_MS = 15_000;

/** An answer that is no success; `status` is 0 where there was no answer. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

export class Api {
  #token;

  constructor(token) {
    this.#token = token;
  }

  me = () => this.#call("GET", "/users/@me");
  say = (channel, content, nonce) =>
    this.#call("POST", `/channels/${channel}/messages`, { content, nonce, enforce_nonce: true });
  typing = (channel) => this.#call("POST", `/channels/${channel}/typing`);
  directWith = (user) => this.#call("POST", "/users/@me/channels", { recipient_id: user });
  join = (code) => this.#call("POST", `/invites/${encodeURIComponent(code)}`, {});
  invite = (channel, max_age, max_uses) =>
    this.#call("POST", `/channels/${channel}/invites`, { max_age, max_uses });

  /** Newest first; those before an id when one is given. */
  history(channel, limit, before) {
    const older = before ? `&before=${before}` : "";
    return this.#call("GET", `/channels/${channel}/messages?limit=${limit}${older}`);
  }

  async #call(method, path, body) {
    for (let waited = 0; ; waited++) {
      const answer = await this.#once(method, path, body);
      if (answer.status === 204) return null;
      const said = await answer.json().catch(() => ({}));
      if (answer.ok) return said;
      if (answer.status === 429 && waited < WAITS_MAX && said.retry_after <= WAIT_MAX) {
        await new Promise((done) => setTimeout(done, said.retry_after * 1000));
        continue;
      }
      throw new ApiError(answer.status, said.code ?? 0, said.message ?? `the server answered ${answer.status}`);
    }
  }

  async #once(method, path, body) {
    const headers = { Authorization: this.#token };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    try {
      return await fetch(`/api/v10${path}`, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
    } catch {
      throw new ApiError(0, 0, "The server does not answer.");
    }
  }
}
