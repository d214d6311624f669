"""The choice of ports."""

from __future__ import annotations

import random
import socket
import time

from knit_core.local import ports


def all_free(address: str, port: int) -> bool:
    return True


def test_well_known_ports_are_taken_when_they_are_free():
    chosen = ports.choose(1, {}, free=all_free)
    assert chosen == ports.WELL_KNOWN


def test_a_taken_port_is_replaced_by_another_below_the_ephemeral_range():
    chosen = ports.choose(1, {}, free=lambda address, port: port != 8088, rng=random.Random(1))
    assert chosen["resourcemanager-http"] in ports.RANGE
    assert {**chosen, "resourcemanager-http": 8088} == ports.WELL_KNOWN


def test_clusters_of_tests_stay_away_from_well_known_ports():
    chosen = ports.choose(1, {}, prefer_well_known=False, free=all_free)
    assert not set(chosen.values()) & set(ports.WELL_KNOWN.values())
    assert len(set(chosen.values())) == len(chosen)


def test_more_nodes_have_ports_of_their_own():
    chosen = ports.choose(3, {}, free=all_free)
    assert {"nodemanager", "nodemanager-2", "nodemanager-3", "nodemanager-http-3"} <= set(chosen)
    assert len(set(chosen.values())) == len(chosen)


def test_remembered_ports_are_used_again_while_they_are_free():
    before = ports.choose(2, {}, prefer_well_known=False, free=all_free)
    assert ports.choose(2, before, prefer_well_known=False, free=all_free) == before
    blocked = before["namenode"]
    after = ports.choose(2, before, prefer_well_known=False, free=lambda address, port: port != blocked)
    assert after["namenode"] != blocked


def test_ports_of_living_daemons_are_kept_although_they_are_not_free():
    before = ports.choose(1, {}, free=all_free)
    held = set(before.values())
    after = ports.choose(2, before, keep=before, free=lambda address, port: port not in held)
    assert {name: after[name] for name in before} == before


def test_is_free_looks_at_the_address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free("127.0.0.1", port)
    assert ports.is_free("127.0.0.1", port)
    assert ports.has_address("127.0.0.1")
    assert not ports.has_address("192.0.2.1")


def test_waiting_for_a_port_that_is_given_back() -> None:
    looks = iter([False, False, True])
    assert ports.wait_free([("127.0.0.1", 1)], time.monotonic() + 5, free=lambda _address, _port: next(looks))


def test_waiting_for_a_port_has_an_end() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        assert not ports.wait_free([listener.getsockname()], time.monotonic() + 0.2)
