"""What an ordinary user of py-consul does; every expectation is Consul's own behaviour."""

import sys
import threading
import time

import consul

client = consul.Consul(host="127.0.0.1", port=int(sys.argv[1]))

# Registration with a TTL check: critical until the first heartbeat, then passing.
assert client.agent.service.register("web", service_id="web-1", address="10.0.0.1", port=80,
                                     tags=["v1"], check=consul.Check.ttl("10s"))
index, nodes = client.health.service("web", passing=True)
assert nodes == [], nodes
assert client.agent.check.ttl_pass("service:web-1")
index, nodes = client.health.service("web", passing=True)
assert [n["Service"]["ID"] for n in nodes] == ["web-1"], nodes
assert nodes[0]["Service"]["Port"] == 80 and nodes[0]["Service"]["Tags"] == ["v1"]

# A blocking query wakes when a second instance passes, and not before.
woken = []


def watch():
    woken.append(client.health.service("web", passing=True, index=index, wait="20s"))


watcher = threading.Thread(target=watch)
begun = time.monotonic()
watcher.start()
time.sleep(0.3)
assert not woken
client.agent.service.register("web", service_id="web-2", address="10.0.0.2", port=80,
                              check=consul.Check.ttl("10s"))
client.agent.check.ttl_pass("service:web-2")
watcher.join(15)
assert woken and time.monotonic() - begun < 15
seen, _ = woken[0]
assert int(seen) > int(index)
index, nodes = client.health.service("web", passing=True)
assert sorted(n["Service"]["ID"] for n in nodes) == ["web-1", "web-2"]

# The catalog.
_, services = client.catalog.services()
assert services["web"] == ["v1"] and "consul" in services, services
_, instances = client.catalog.service("web")
assert {i["ServiceID"] for i in instances} == {"web-1", "web-2"}
_, tagged = client.health.service("web", tag="v1")
assert [n["Service"]["ID"] for n in tagged] == ["web-1"]

# Keys: absent, put, check-and-set, list, delete.
index, nothing = client.kv.get("app/colour")
assert nothing is None and int(index) >= 1
assert client.kv.put("app/colour", "blue")
index, entry = client.kv.get("app/colour")
assert entry["Value"] == b"blue" and entry["Flags"] == 0
assert client.kv.put("app/colour", "red", cas=entry["ModifyIndex"]) is True
assert client.kv.put("app/colour", "green", cas=entry["ModifyIndex"]) is False
assert client.kv.put("app/size", "9") and client.kv.get("app/", keys=True)[1] == ["app/colour", "app/size"]
_, entries = client.kv.get("app/", recurse=True)
assert [e["Value"] for e in entries] == [b"red", b"9"]
assert client.kv.delete("app/", recurse=True)
assert client.kv.get("app/", recurse=True)[1] is None

# Leaving.
assert client.agent.service.deregister("web-1")
assert client.agent.service.deregister("web-2")
_, nodes = client.health.service("web")
assert nodes == []
assert client.status.leader() and len(client.status.peers()) == 1
assert client.agent.self()["Config"]["Datacenter"] == "dc1"
print("all is as a Consul client expects")
