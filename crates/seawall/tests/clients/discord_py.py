"""discord.py, unmodified, against Seawall: log in, talk, be cut off, resume.

Usage: discord_py.py HOST:PORT

Makes its users through the operator's API. Prints "all is as a Discord client expects" or the first thing that
is not.
"""

import asyncio
import json
import sys
import time
import urllib.error
import urllib.request

import discord
import discord.gateway
import discord.http
import yarl

HOST = sys.argv[1]
PATIENCE = 30

discord.http.Route.BASE = f"http://{HOST}/api/v10"
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(f"ws://{HOST}/")


def call(method, path, body=None, token=None):
    """One HTTP call, apart from the library under test."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bot {token}"
    data = None if body is None else json.dumps(body).encode()
    while True:
        request = urllib.request.Request(f"http://{HOST}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                text = answer.read()
            return json.loads(text) if text else None
        except urllib.error.HTTPError as refused:
            if refused.code != 429:
                raise
            time.sleep(json.load(refused)["retry_after"])


class Peer:
    """The one we talk to: plain REST, no library."""

    def __init__(self, name):
        made = call("POST", "/api/admin/users", {"username": name, "bot": True})
        self.id, self.token = made["user"]["id"], made["token"]

    def say(self, channel, text):
        return call("POST", f"/api/v10/channels/{channel}/messages", {"content": text}, self.token)

    def react(self, message, emoji):
        path = f"/api/v10/channels/{message.channel.id}/messages/{message.id}/reactions/{emoji}/@me"
        call("PUT", path, token=self.token)

    def type(self, channel):
        call("POST", f"/api/v10/channels/{channel}/typing", token=self.token)


class Bot(discord.Client):
    """The library under test; remembers everything it is told."""

    def __init__(self):
        intents = discord.Intents.default()
        intents.message_content = True
        intents.members = True
        intents.presences = True
        super().__init__(intents=intents)
        self.heard = []
        self.news = asyncio.Condition()
        self.ready_count = 0

    async def note(self, *what):
        async with self.news:
            self.heard.append(what)
            self.news.notify_all()

    async def until(self, *what):
        """Waits until something was heard."""
        async with self.news:
            try:
                await asyncio.wait_for(self.news.wait_for(lambda: what in self.heard), PATIENCE)
            except asyncio.TimeoutError:
                raise AssertionError(f"never heard {what}; heard {self.heard}") from None

    def said(self):
        return [text for kind, text in (h for h in self.heard if len(h) == 2) if kind == "message"]

    async def on_ready(self):
        self.ready_count += 1
        await self.note("ready", self.ready_count)

    async def on_resumed(self):
        await self.note("resumed")

    async def on_message(self, message):
        await self.note("message", message.content)

    async def on_reaction_add(self, reaction, user):
        await self.note("reaction", str(reaction.emoji), user.id)

    async def on_typing(self, channel, user, when):
        await self.note("typing", user.id)

    async def on_presence_update(self, before, after):
        await self.note("presence", after.id, str(after.status))

    async def on_member_join(self, member):
        await self.note("joined", member.id)

    async def on_message_edit(self, before, after):
        await self.note("edited", before.content, after.content)

    async def on_message_delete(self, message):
        await self.note("deleted", message.content)


def session_of(user):
    """The one session of a user, as the operator sees it."""
    mine = [s for s in call("GET", "/api/admin/sessions") if s["user"]["id"] == str(user)]
    assert len(mine) == 1, mine
    return mine[0]["id"]


def cut(user, how):
    call("POST", f"/api/admin/sessions/{session_of(user)}/kick", {"how": how})


async def talk(bot, peer, guild, channel):
    """The whole of an ordinary day."""
    home = bot.get_guild(int(guild))
    room = home.get_channel(int(channel))
    assert room.name == "general" and home.member_count == 2, (room, home.member_count)
    assert home.get_member(int(peer.id)) is not None, "members were asked for and did not come"

    mine = await room.send("hello")
    await bot.until("message", "hello")
    assert mine.author.id == bot.user.id and mine.content == "hello"
    await asyncio.to_thread(peer.say, channel, "hi there")
    await bot.until("message", "hi there")
    assert [m.content async for m in room.history(limit=10)] == ["hi there", "hello"]

    await mine.add_reaction("👍")
    await bot.until("reaction", "👍", bot.user.id)
    await asyncio.to_thread(peer.type, channel)
    await bot.until("typing", int(peer.id))
    async with room.typing():
        await bot.until("typing", bot.user.id)

    changed = await mine.edit(content="hello, all")
    assert changed.content == "hello, all"
    await bot.until("edited", "hello", "hello, all")
    answer = await mine.reply("to myself")
    assert answer.reference.message_id == mine.id
    await answer.pin()
    assert [m.content async for m in room.pins()] == ["to myself"]
    await answer.delete()
    await bot.until("deleted", "to myself")

    once = await room.send("only once", nonce="n-1")
    assert once.nonce == "n-1"
    await bot.change_presence(status=discord.Status.idle, activity=discord.Game("chess"))

    third = await asyncio.to_thread(Peer, "third")
    await asyncio.to_thread(call, "PUT", f"/api/admin/guilds/{guild}/members/{third.id}")
    await bot.until("joined", int(third.id))

    try:
        await bot.get_channel(int(channel)).send("x" * 2001)
        raise AssertionError("2,001 characters were taken")
    except discord.HTTPException as refused:
        assert refused.status == 400 and refused.code == 50035, refused


async def be_cut_off(bot, peer, channel):
    """Four ways to lose a connection; nothing said meanwhile may be missing or come twice."""
    expected = []

    async def away(how, again):
        before = len(bot.heard)
        await asyncio.to_thread(cut, bot.user.id, how)
        for n in range(5):
            text = f"{how} {n}"
            expected.append(text)
            await asyncio.to_thread(peer.say, channel, text)
        if again is not None:
            async with bot.news:
                news = bot.news.wait_for(lambda: again in bot.heard[before:])
                await asyncio.wait_for(news, PATIENCE)
        await bot.until("message", expected[-1])

    await away("tcp", ("resumed",))
    await away("reconnect", ("resumed",))
    got = [text for text in bot.said() if text.split()[0] in ("tcp", "reconnect")]
    assert got == expected, f"resumed with {got}, expected {expected}"

    # Not resumable: the library logs in again, and the guild is there again.
    count = bot.ready_count
    await asyncio.to_thread(cut, bot.user.id, "invalid")
    await bot.until("ready", count + 1)
    await asyncio.to_thread(peer.say, channel, "after all that")
    await bot.until("message", "after all that")


async def main():
    peer = Peer("peer")
    made = call("POST", "/api/admin/users", {"username": "tested", "bot": True})
    guild = call("POST", "/api/admin/guilds", {"name": "the guild", "owner_id": made["user"]["id"]})
    call("PUT", f"/api/admin/guilds/{guild['id']}/members/{peer.id}")
    channel = guild["channels"][0]["id"]

    bot = Bot()
    running = asyncio.create_task(bot.start(made["token"]))
    waiting = asyncio.create_task(bot.until("ready", 1))
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    await waiting
    await talk(bot, peer, guild["id"], channel)
    await be_cut_off(bot, peer, channel)
    await bot.close()

    wrong = Bot()
    try:
        await wrong.start("not.a.token")
        raise AssertionError("a forged token was taken")
    except discord.LoginFailure:
        await wrong.close()
    print("all is as a Discord client expects")


asyncio.run(asyncio.wait_for(main(), 300))
