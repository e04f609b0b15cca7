"""What an ordinary user of redis-py does with the graph, in both forms of the protocol."""

import sys

import redis

port = int(sys.argv[1])


def pairs(flat):
    """A map, which the older form of the protocol sends as a flat list."""
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2]))


for protocol in (2, 3):
    client = redis.Redis(port=port, protocol=protocol, decode_responses=True, client_name="tester")
    number = str if protocol == 2 else int
    assert client.ping() is True
    assert client.echo("sea and wall") == "sea and wall"
    assert client.client_getname() == "tester"
    assert any(c["name"] == "tester" and c["lib-name"] == "redis-py" for c in client.client_list())
    assert client.info("server")["server_name"] == "seawall"
    assert client.config_get("save") == {"save": ""}
    assert "obj.get" in client.command() and client.command_count() > 20
    assert isinstance(client.time(), tuple) and client.dbsize() >= 0

    # Objects.
    call = client.execute_command
    ann = call("OBJ.ADD", "user", "FIELDS", "name", "Ann", "created", 77)
    bob = call("OBJ.ADD", "user", "NEAR", ann, "FIELDS", "name", "Böb \r\n")
    assert isinstance(ann, int) and ann >> 47 == bob >> 47
    got = pairs(call("OBJ.GET", ann))
    assert got == {"type": "user", "version": number(1), "name": "Ann", "created": number(77)}, got
    assert pairs(call("OBJ.GET", bob))["name"] == "Böb \r\n"
    assert call("OBJ.UPDATE", ann, "UNSET", 1, "created", "FIELDS", "about", "me") == 2
    assert call("OBJ.GET", 1) is None
    both = call("OBJ.MGET", bob, 1, ann)
    assert both[1] is None and pairs(both[2])["about"] == "me"

    # Associations.
    for time, end in ((10, bob), (20, 77), (30, 78)):
        assert call("ASSOC.ADD", ann, "likes", end, "TIME", time, "FIELDS", "reaction", "wow") == 1
    assert call("ASSOC.ADD", ann, "likes", 78, "TIME", 31) == 0
    assert call("ASSOC.COUNT", ann, "likes") == 3
    assert call("ASSOC.COUNT", bob, "liked_by") == 1
    assert call("ASSOC.RANGE", ann, "likes", 0, 2) == [78, 31, 77, 20]
    (end, time, data), = call("ASSOC.RANGE", ann, "likes", 2, 5, "WITHDATA")
    assert (end, time, pairs(data)) == (bob, 10, {"reaction": "wow"})
    assert call("ASSOC.TIMERANGE", ann, "likes", 20, 0, 10) == [77, 20, bob, 10]
    assert [edge[0] for edge in call("ASSOC.GET", ann, "likes", 77, 99, bob)] == [77, bob]
    assert call("ASSOC.DELETE", ann, "likes", 78) == 1

    # A pipeline: reads, a write, and reads that see it.
    with client.pipeline(transaction=False) as pipe:
        pipe.execute_command("ASSOC.COUNT", ann, "likes")
        pipe.execute_command("ASSOC.ADD", ann, "likes", 79)
        pipe.execute_command("ASSOC.COUNT", ann, "likes")
        for _ in range(200):
            pipe.execute_command("OBJ.GET", bob)
        told = pipe.execute()
    assert told[:3] == [2, 1, 3] and len(told) == 203
    assert all(pairs(one)["name"] == "Böb \r\n" for one in told[3:])

    # Errors are exceptions of the classes a Redis user knows.
    for words, text in (
        (("OBJ.GET", "x"), "value is not an integer or out of range"),
        (("OBJ.GET",), "wrong number of arguments for 'obj.get' command"),
        (("NOSUCH", "x"), "unknown command 'NOSUCH'"),
        (("OBJ.UPDATE", 5, "FIELDS", "name", "x"), "NOTFOUND"),
        (("OBJ.UPDATE", ann, "IFVERSION", 7, "FIELDS", "name", "x"), "CHANGED"),
        (("ASSOC.RANGE", ann, "loves", 0, 10), "unknown association type"),
    ):
        try:
            call(*words)
            raise AssertionError(f"{words} is no error")
        except redis.ResponseError as error:
            assert text in str(error), (words, error)
    # Inside a pipeline as well, and what stands around it is done.
    with client.pipeline(transaction=False) as pipe:
        pipe.execute_command("ASSOC.COUNT", ann, "likes")
        pipe.execute_command("OBJ.GET", "x")
        pipe.execute_command("ASSOC.COUNT", ann, "likes")
        told = pipe.execute(raise_on_error=False)
    assert told[0] == told[2] == 3 and isinstance(told[1], redis.ResponseError)

    # A ticket makes another connection read what this one wrote.
    with client.client() as writer, redis.Redis(port=port, protocol=protocol).client() as reader:
        eve = writer.execute_command("OBJ.ADD", "user", "FIELDS", "name", "Eve")
        assert reader.execute_command("TICKET", writer.execute_command("TICKET")) in (True, "OK", b"OK")
        assert reader.execute_command("OBJ.GET", eve) is not None

print("all is as a Redis client expects")
