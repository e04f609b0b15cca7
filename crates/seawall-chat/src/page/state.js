// What this page knows: guilds, channels, members, presences, who is typing, what is unread. Dispatches go in, names
// of what changed come out; drawing is somebody else's.

import { byId, nameOf } from "./dom.js";
import { Timeline } from "./timeline.js";

/** Channel types in which people write: text in a guild, direct message. */
const TEXT = 0;
const DIRECT = 1;
/** Whoever began to type is shown for so long, or until they have said it. */
const TYPING_MS = 10_000;
/** Channels whose messages are kept; the one looked at longest ago goes first. */
const TIMELINES_MAX = 20;
/** Where the newest message read of each channel is kept, by user. */
const READ_KEY = "seawall-chat-read-";

export class State {
  me = null;
  guilds = new Map();
  directs = new Map();
  /** The channel looked at. */
  open = null;
  #timelines = new Map();
  #typing = new Map();
  #read = new Map();
  #changed;

  /** `changed(what)` with "places", "members", "timeline" or "typing". */
  constructor(changed) {
    this.#changed = changed;
  }

  /** Applies one dispatch. Unknown ones are passed over: the protocol grows. */
  apply(t, d) {
    switch (t) {
      case "READY": return this.#ready(d);
      case "GUILD_CREATE": return this.#guild(d);
      case "GUILD_UPDATE": return this.#rename(d);
      case "GUILD_DELETE": return this.#guildGone(d);
      case "CHANNEL_CREATE":
      case "CHANNEL_UPDATE": return this.#channel(d);
      case "CHANNEL_DELETE": return this.#channelGone(d);
      case "GUILD_MEMBER_ADD":
      case "GUILD_MEMBER_UPDATE": return this.#member(d);
      case "GUILD_MEMBER_REMOVE": return this.#memberGone(d);
      case "PRESENCE_UPDATE": return this.#presence(d);
      case "USER_UPDATE": return this.#profile(d);
      case "TYPING_START": return this.#types(d);
      case "MESSAGE_CREATE": return this.#said(d);
      case "MESSAGE_UPDATE": return this.#touch(d.channel_id, (timeline) => timeline.replace(d));
      case "MESSAGE_DELETE": return this.#touch(d.channel_id, (timeline) => timeline.drop([d.id]));
      case "MESSAGE_DELETE_BULK": return this.#touch(d.channel_id, (timeline) => timeline.drop(d.ids));
    }
  }

  /** A channel of a guild or a direct message. */
  channel(id) {
    return this.directs.get(id) ?? this.guildOf(id)?.channels.get(id) ?? null;
  }

  /** The guild a channel is in; null for direct messages. */
  guildOf(channel) {
    for (const guild of this.guilds.values()) if (guild.channels.has(channel)) return guild;
    return null;
  }

  /** Text channels of a guild, as they are listed. */
  textChannels(guild) {
    return [...guild.channels.values()]
      .filter((channel) => channel.type === TEXT)
      .sort((a, b) => a.position - b.position || byId(a.id, b.id));
  }

  /** Direct messages, the most recent first. */
  directList() {
    return [...this.directs.values()]
      .sort((a, b) => byId(b.last_message_id ?? b.id, a.last_message_id ?? a.id));
  }

  /** What a direct message is called: the other's name. */
  directName(channel) {
    return channel.recipients?.filter((user) => user.id !== this.me.id).map(nameOf).join(", ") || "direct message";
  }

  /** The messages kept of a channel; made when it is looked at first. */
  timeline(channel) {
    const found = this.#timelines.get(channel) ?? new Timeline(channel);
    // Put last again: the map's order is the order of use.
    this.#timelines.delete(channel);
    this.#timelines.set(channel, found);
    if (this.#timelines.size > TIMELINES_MAX) {
      const [oldest] = [...this.#timelines.values()].filter((timeline) => timeline.outbox.length === 0);
      this.#timelines.delete(oldest?.channel);
    }
    return found;
  }

  /** The name somebody goes by in a channel. */
  nameIn(channel, user) {
    return this.guildOf(channel)?.members.get(user.id)?.nick ?? nameOf(user);
  }

  /** Names of those who are typing in a channel now, without us. */
  typing(channel) {
    const now = Date.now();
    const here = [...(this.#typing.get(channel) ?? [])].filter(([, who]) => who.until > now);
    return here.map(([, who]) => who.name);
  }

  /** `online`, `idle`, `dnd` or `offline`, as any guild shared with them shows it. */
  presence(user) {
    // Whoever reads this page is here.
    if (user === this.me.id) return "online";
    for (const guild of this.guilds.values()) {
      const status = guild.presences.get(user);
      if (status) return status;
    }
    return "offline";
  }

  /** The newest message read in a channel. */
  readUpTo(channel) {
    return this.#read.get(channel) ?? "0";
  }

  isUnread(channel) {
    const read = this.#read.get(channel.id);
    // A channel never looked at has nothing to be compared with: a newcomer is not shown a wall of marks.
    return channel.last_message_id !== null && read !== undefined && byId(read, channel.last_message_id) < 0;
  }

  /** Everything in the channel has been seen. */
  markRead(id) {
    const newest = this.channel(id)?.last_message_id ?? "0";
    if (this.#read.get(id) === newest) return;
    this.#read.set(id, newest);
    localStorage.setItem(READ_KEY + this.me.id, JSON.stringify([...this.#read]));
    this.#changed("places");
  }

  #ready(d) {
    this.me = d.user;
    this.#read = new Map(JSON.parse(localStorage.getItem(READ_KEY + this.me.id) ?? "[]"));
    // What happened since is unknown: what we hold of messages may have holes.
    for (const timeline of this.#timelines.values()) timeline.forget();
    this.#typing.clear();
    const stay = new Set(d.guilds.map((guild) => guild.id));
    for (const id of this.guilds.keys()) if (!stay.has(id)) this.guilds.delete(id);
    this.directs = new Map((d.private_channels ?? []).filter((c) => c.type === DIRECT).map((c) => [c.id, c]));
    this.#seen(this.directs.values());
    this.#all();
  }

  #guild(d) {
    if (d.unavailable) return;
    const presences = new Map((d.presences ?? []).map((p) => [p.user.id, p.status]));
    this.guilds.set(d.id, {
      id: d.id,
      name: d.name,
      count: d.member_count ?? d.members.length,
      channels: new Map(d.channels.map((channel) => [channel.id, { ...channel, guild_id: d.id }])),
      members: new Map(d.members.map((member) => [member.user.id, member])),
      presences,
    });
    this.#seen(this.guilds.get(d.id).channels.values());
    this.#all();
  }

  /** From here on these channels can become unread. */
  #seen(channels) {
    for (const channel of channels) {
      if (!this.#read.has(channel.id)) this.#read.set(channel.id, channel.last_message_id ?? "0");
    }
  }

  #rename(d) {
    const guild = this.guilds.get(d.id);
    if (guild) guild.name = d.name;
    this.#changed("places");
  }

  #guildGone(d) {
    // Unavailable: it comes back by itself, and until then nobody loses sight of it.
    if (d.unavailable) return;
    this.guilds.delete(d.id);
    this.#all();
  }

  #channel(d) {
    const home = d.guild_id ? this.guilds.get(d.guild_id)?.channels : this.directs;
    const known = home?.get(d.id);
    const last_message_id = d.last_message_id ?? known?.last_message_id ?? null;
    home?.set(d.id, { ...known, ...d, last_message_id });
    this.#seen(home ? [home.get(d.id)] : []);
    this.#all();
  }

  #channelGone(d) {
    this.directs.delete(d.id);
    this.guilds.get(d.guild_id)?.channels.delete(d.id);
    this.#timelines.delete(d.id);
    this.#all();
  }

  #member(d) {
    const guild = this.guilds.get(d.guild_id);
    if (!guild) return;
    const known = guild.members.get(d.user.id);
    if (!known) guild.count += 1;
    guild.members.set(d.user.id, { ...known, ...d });
    this.#changed("members");
  }

  #memberGone(d) {
    const guild = this.guilds.get(d.guild_id);
    if (guild?.members.delete(d.user.id)) guild.count -= 1;
    guild?.presences.delete(d.user.id);
    this.#changed("members");
  }

  #presence(d) {
    this.guilds.get(d.guild_id)?.presences.set(d.user.id, d.status);
    this.#changed("members");
  }

  #profile(d) {
    Object.assign(this.me, d);
    this.#changed("places");
  }

  #types(d) {
    if (d.user_id === this.me.id) return;
    const known = d.member?.user
      ?? this.guilds.get(d.guild_id)?.members.get(d.user_id)?.user
      ?? this.directs.get(d.channel_id)?.recipients?.find((user) => user.id === d.user_id);
    const name = known ? this.nameIn(d.channel_id, known) : "Somebody";
    const here = this.#typing.get(d.channel_id) ?? new Map();
    here.set(d.user_id, { name, until: Date.now() + TYPING_MS });
    this.#typing.set(d.channel_id, here);
    this.#changed("typing");
    setTimeout(() => this.#changed("typing"), TYPING_MS + 50);
  }

  #said(d) {
    const channel = this.channel(d.channel_id);
    if (channel && byId(channel.last_message_id ?? "0", d.id) < 0) channel.last_message_id = d.id;
    // Our own words, also from another window, are read.
    if (d.author.id === this.me.id) this.markRead(d.channel_id);
    if (this.#typing.get(d.channel_id)?.delete(d.author.id)) this.#changed("typing");
    this.#touch(d.channel_id, (timeline) => timeline.add([d]));
    this.#changed("places");
  }

  #touch(channel, change) {
    const timeline = this.#timelines.get(channel);
    if (!timeline) return;
    change(timeline);
    if (channel === this.open) this.#changed("timeline");
  }

  #all() {
    for (const part of ["places", "members", "timeline", "typing"]) this.#changed(part);
  }
}
