// Two dialogs: join a guild by a code, and make a code for others.

import { $ } from "./dom.js";

export class Invites {
  #state;
  #api;
  #guild = null;

  constructor(state, api) {
    this.#state = state;
    this.#api = api;
    for (const button of document.querySelectorAll("dialog [data-close]")) {
      button.onclick = () => button.closest("dialog").close();
    }
    $("join").onclick = () => this.#askForCode();
    submitted("join-form", "join-error", () => this.#join());
    submitted("invite-form", "invite-error", () => this.#make());
  }

  /** Asks how long and how often an invite to this guild shall be good. */
  open(guild) {
    this.#guild = guild;
    $("invite-title").textContent = `Invite people to ${this.#state.guilds.get(guild)?.name ?? "this guild"}`;
    $("invite-made").hidden = true;
    $("invite-error").textContent = "";
    $("invite-dialog").showModal();
  }

  #askForCode() {
    $("join-code").value = "";
    $("join-error").textContent = "";
    $("join-dialog").showModal();
  }

  async #join() {
    // Whole links are pasted as often as codes: the code is their last part.
    const code = $("join-code").value.trim().replace(/\/+$/, "").split("/").at(-1);
    await this.#api.join(code);
    // The guild itself comes over the gateway.
    $("join-dialog").close();
  }

  async #make() {
    const guild = this.#state.guilds.get(this.#guild);
    const open = this.#state.guildOf(this.#state.open);
    const channel = open === guild ? this.#state.open : guild && this.#state.textChannels(guild)[0]?.id;
    if (!channel) throw new Error("There is no channel to invite anybody to.");
    const made = await this.#api.invite(channel, Number($("invite-age").value), Number($("invite-uses").value));
    $("invite-code").textContent = made.code;
    $("invite-made").hidden = false;
  }
}

/** Runs `act` when the form is sent; what goes wrong is said in the form. */
function submitted(form, error, act) {
  $(form).onsubmit = async (event) => {
    event.preventDefault();
    const button = event.submitter;
    if (button) button.disabled = true;
    $(error).textContent = "";
    try {
      await act();
    } catch (trouble) {
      $(error).textContent = trouble.message;
    } finally {
      if (button) button.disabled = false;
    }
  };
}
