// The list on the right: who is here, who is away. Each is a button that opens a direct message.

import { $, Kept, arrange, avatar, el, nameOf, write } from "./dom.js";

/** People drawn; a guild can have more of them than anybody scrolls through. */
const DRAWN_MAX = 300;

export class People {
  #state;
  #message;
  #kept = new Kept();

  /** `message(user)` opens a direct message. */
  constructor(state, message) {
    this.#state = state;
    this.#message = message;
  }

  draw() {
    this.#kept.begin();
    const everyone = this.#everyone().sort((a, b) => a.name.localeCompare(b.name));
    const here = everyone.filter((person) => person.status !== "offline");
    const away = everyone.filter((person) => person.status === "offline");
    const sections = [["Online", here.slice(0, DRAWN_MAX)], ["Offline", away.slice(0, DRAWN_MAX - here.length)]];
    const drawn = sections.filter(([, people]) => people.length > 0).map(([name, people]) =>
      this.#section(name, name === "Online" ? here.length : away.length, people));
    const rest = this.#count(everyone) - drawn.reduce((sum, section) => sum + section.lastChild.children.length, 0);
    if (rest > 0) drawn.push(el("p", { className: "hint", textContent: `and ${rest} more` }));
    arrange($("member-list"), drawn);
  }

  #count(everyone) {
    return Math.max(this.#state.guildOf(this.#state.open)?.count ?? 0, everyone.length);
  }

  #everyone() {
    const state = this.#state;
    if (!state.me || !state.open) return [];
    const guild = state.guildOf(state.open);
    const users = guild
      ? [...guild.members.values()].map((member) => member.user)
      : [state.me, ...(state.channel(state.open)?.recipients ?? []).filter((user) => user.id !== state.me.id)];
    return users.map((user) => ({
      user,
      name: guild?.members.get(user.id)?.nick ?? nameOf(user),
      status: state.presence(user.id),
    }));
  }

  #section(name, count, people) {
    const section = this.#kept.get(name, () =>
      el("section", {}, el("div", { className: "section-head" }, el("h2")), el("ul")));
    write(section.querySelector("h2"), `${name} – ${count}`);
    arrange(section.lastChild, people.map((person) => this.#row(person)));
    return section;
  }

  #row({ user, name, status }) {
    const mine = user.id === this.#state.me.id;
    const row = this.#kept.get(user.id, () => el("li", {}, el("button", {
      type: "button",
      className: "person",
      disabled: mine,
      data: { user: user.id },
      onclick: () => this.#message(user.id),
    }, avatar(user), el("span", { className: "name" }),
    user.bot ? el("span", { className: "badge", textContent: "bot" }) : null)));
    const [button] = row.children;
    button.dataset.status = status;
    write(button.children[1], mine ? `${name} (you)` : name);
    button.setAttribute("aria-label", mine ? `${name}, you` : `${name}, ${status}; write a direct message`);
    return row;
  }
}
