// Elements, made and kept. What others wrote reaches the document only as text: there is no innerHTML here.

/** The element with this id; it is part of the page. */
export const $ = (id) => document.getElementById(id);

/** An element with properties, data attributes under `data`, other attributes under `attrs`, and children. */
export function el(tag, { data, attrs, ...props } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), props);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(attrs ?? {})) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/**
 * Makes the children of `parent` be exactly `wanted`, moving as little as possible: a screen reader then hears only
 * what is new, and focus and scroll position stay.
 */
export function arrange(parent, wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const child of wanted) {
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
}

/** Elements by key, from one drawing to the next; those not asked for in a drawing are let go after it. */
export class Kept {
  #before = new Map();
  #now = new Map();

  begin() {
    this.#before = this.#now;
    this.#now = new Map();
  }

  get(key, make) {
    const found = this.#now.get(key) ?? this.#before.get(key) ?? make();
    this.#now.set(key, found);
    return found;
  }
}

/** Sets a text only where it differs, so that nothing is announced twice. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A round mark with somebody's first letter, in one of eight colours that stays theirs. */
export function avatar(user) {
  const hue = Number(BigInt(user.id) / 4194304n % 8n);
  const letter = [...nameOf(user)][0]?.toUpperCase() ?? "?";
  return el("span", { className: `avatar hue-${hue}`, textContent: letter, attrs: { "aria-hidden": "true" } });
}

/** The name shown for a user. */
export const nameOf = (user) => user.global_name ?? user.username ?? "somebody";

/** Orders ids: decimal numbers too large for a double. */
export function byId(a, b) {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}
