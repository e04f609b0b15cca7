// The list on the left: direct messages, then each guild with its channels.

import { $, Kept, arrange, el, write } from "./dom.js";

export class Places {
  #state;
  #act;
  #kept = new Kept();

  /** `act` has `open(channel)` and `invite(guild)`. */
  constructor(state, act) {
    this.#state = state;
    this.#act = act;
  }

  draw() {
    this.#kept.begin();
    const state = this.#state;
    const directs = state.directList();
    const sections = [...state.guilds.values()].map((guild) => this.#guild(guild));
    if (directs.length > 0) {
      const rows = directs.map((channel) => this.#row(channel, "@", state.directName(channel)));
      sections.unshift(this.#section("directs", "Direct messages", rows));
    }
    arrange($("place-list"), sections);
    write($("my-name"), state.me ? state.me.global_name ?? state.me.username : "");
    const unread = this.#all().filter((channel) => state.isUnread(channel)).length;
    const open = state.open && state.channel(state.open);
    const place = open ? ` ${open.name ? `#${open.name}` : state.directName(open)} ·` : "";
    document.title = `${unread > 0 ? `(${unread})` : ""}${place} Seawall chat`.trim();
  }

  #all() {
    const guilds = [...this.#state.guilds.values()];
    return [...this.#state.directs.values(), ...guilds.flatMap((guild) => this.#state.textChannels(guild))];
  }

  #guild(guild) {
    const rows = this.#state.textChannels(guild).map((channel) => this.#row(channel, "#", channel.name));
    const invite = this.#kept.get(`invite ${guild.id}`, () => el("button", {
      type: "button",
      className: "quiet",
      textContent: "Invite",
      onclick: () => this.#act.invite(guild.id),
    }));
    invite.setAttribute("aria-label", `Invite people to ${guild.name}`);
    return this.#section(`guild ${guild.id}`, guild.name, rows, invite);
  }

  #section(key, name, rows, button) {
    const section = this.#kept.get(key, () =>
      el("section", {}, el("div", { className: "section-head" }, el("h2")), el("ul")));
    const [head, list] = section.children;
    write(head.firstElementChild, name);
    arrange(head, [head.firstElementChild, ...(button ? [button] : [])]);
    arrange(list, rows);
    return section;
  }

  #row(channel, sign, name) {
    const row = this.#kept.get(`channel ${channel.id}`, () => el("li", {}, el("button", {
      type: "button",
      className: "place",
      data: { channel: channel.id },
      onclick: () => this.#act.open(channel.id),
    }, el("span", { className: "sign", textContent: sign, attrs: { "aria-hidden": "true" } }),
    el("span", { className: "name" }), el("span", { className: "mark" }))));
    const [button] = row.children;
    const unread = this.#state.isUnread(channel);
    write(button.children[1], name);
    write(button.children[2], unread ? "unread" : "");
    button.classList.toggle("unread", unread);
    if (channel.id === this.#state.open) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
    return row;
  }
}
