// What a message says, as nodes: text, links, names. Nothing of it is ever read as HTML.

import { el } from "./dom.js";

/** A mention of a user, or an address. */
const SPECIAL = /<@!?(\d{1,20})>|https?:\/\/[^\s<>"]+/g;
/** "… pinned a message". */
const PINNED = 6;

export function words(message, state) {
  if (message.type === PINNED) return [el("em", { textContent: "pinned a message" })];
  if (message.content === "") return [el("em", { textContent: "(nothing that this page can show)" })];
  const nodes = [];
  let done = 0;
  for (const found of message.content.matchAll(SPECIAL)) {
    nodes.push(message.content.slice(done, found.index));
    nodes.push(found[1] ? mention(found[1], message, state) : link(found[0]));
    done = found.index + found[0].length;
  }
  nodes.push(message.content.slice(done));
  return nodes;
}

function mention(id, message, state) {
  const user = message.mentions?.find((one) => one.id === id)
    ?? state.guildOf(message.channel_id)?.members.get(id)?.user;
  const shown = user ? state.nameIn(message.channel_id, user) : "somebody";
  return el("span", { className: id === state.me.id ? "mention mine" : "mention", textContent: `@${shown}` });
}

/** The expression lets only http and https through, so this cannot become a script. */
const link = (url) => el("a", { href: url, textContent: url, target: "_blank", rel: "noopener noreferrer" });
