"""The server of the viewer, asked over its socket as a browser, a foreign page and a careless program would."""

import gzip
import http.client
import json
import socket
import threading
from dataclasses import replace

import numpy as np
import pytest
from scene_examples import GRID, layer, place, scene, voxels

from surrogate3d.errors import StoreError, ValueRangeError
from surrogate3d.viewer.planes import PlaneCache
from surrogate3d.viewer.server import TOKEN_HEADER, ViewServer
from surrogate3d.viewer.session import Recomputed, Session


class Doubling:
    """Doubles the dose, and refuses to know other lines."""

    def manifest(self):
        return {"lines": [{"name": "HSG"}], "how": "doubled"}

    def __call__(self, scene, line, fraction_dose_gy, fractions):
        if line != "HSG":
            raise ValueRangeError(f"no line {line}")
        twice = layer(values=2 * scene.layer("dose").values)
        return Recomputed(replace(scene, layers=(twice, *scene.layers[1:])), frozenset({"dose"}), "doubled")


@pytest.fixture
def server():
    made = ViewServer(Session(scene(), Doubling()))
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def ask(server):
    """Status, headers and content of an answer; the token is sent unless headers are given."""

    def one(path, method="GET", body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
        sent = {TOKEN_HEADER: server.token} if headers is None else headers
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    return one


@pytest.fixture
def token(server):
    return {TOKEN_HEADER: server.token}


def said(content):
    return json.loads(content)["error"]


def test_it_listens_on_the_loopback_address_only(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/#token={server.token}"
    assert len(server.token) >= 43


def test_the_scene_is_its_manifest_and_what_can_be_recomputed(ask):
    status, headers, content = ask("/scene")
    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    assert json.loads(content) == {**scene().manifest(), "recompute": Doubling().manifest()}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_are_floats_with_the_other_axes_in_rising_order(ask, token, axis):
    status, _, content = ask(f"/plane/dose/{axis}/3?v=0")
    assert status == 200
    assert np.array_equal(np.frombuffer(content, "<f4"), np.take(place(), 3, axis=axis).ravel())
    _, headers, packed = ask(f"/plane/error/{axis}/0", headers={**token, "Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    expected = np.take(scene().layer("error").values, 0, axis=axis).ravel()
    assert np.array_equal(np.frombuffer(gzip.decompress(packed), "<f4"), expected, equal_nan=True)


def test_a_structure_of_any_name_is_found(ask):
    status, _, content = ask("/structure/PTV%201%2F2/2/2")
    assert status == 200
    assert np.array_equal(np.frombuffer(content, "<f4"), scene().structures[0].fraction[:, :, 2].ravel())


def test_a_voxel_is_answered_or_null(ask):
    assert json.loads(ask("/voxel/2/3/4")[2]) == voxels().at((2, 3, 4))
    assert json.loads(ask("/voxel/0/0/0")[2]) is None


def test_recomputing_gives_new_layers_with_a_new_version(ask):
    ask("/plane/dose/2/3")
    asked = json.dumps({"line": "HSG", "fraction_dose": 2, "fractions": 30})
    status, _, content = ask("/recompute", "POST", asked)
    found = json.loads(content)
    assert status == 200
    assert [(one["name"], one["version"], one["range"]) for one in found["layers"]] == [("dose", 1, [0.0, 1092.0])]
    assert found["said"] == "doubled"
    plane = np.frombuffer(ask("/plane/dose/2/3?v=1")[2], "<f4")
    assert np.array_equal(plane, 2 * place()[:, :, 3].ravel())


@pytest.mark.parametrize("headers", [{}, {TOKEN_HEADER: "guessed"}, {TOKEN_HEADER: "\xff"}])
@pytest.mark.parametrize("path", ["/scene", "/plane/dose/0/0", "/voxel/2/3/4", "/anything"])
def test_nothing_is_told_without_the_token(ask, path, headers):
    status, _, content = ask(path, headers=headers)
    assert status == 401
    assert "token is missing or wrong" in said(content)


def test_a_post_without_the_token_changes_nothing(ask, server):
    asked = json.dumps({"line": "HSG", "fraction_dose": 2, "fractions": 30})
    assert ask("/recompute", "POST", asked, {"Content-Type": "application/json"})[0] == 401
    assert server.session.scene.layer("dose").version == 0


@pytest.mark.parametrize(
    "foreign", [{"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Origin": "http://evil.example"}, {"Host": ""}]
)
def test_other_names_and_other_pages_are_refused_even_with_the_token(ask, token, foreign):
    status, _, content = ask("/scene", headers={**token, **foreign})
    assert status == 403
    assert "127.0.0.1" in said(content)


def test_the_page_holds_no_data_and_allows_only_its_own_scripts(ask):
    status, headers, content = ask("/", headers={})
    text, policy = content.decode(), headers["Content-Security-Policy"]
    assert status == 200
    assert "made up" not in text
    nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
    assert text.count("<script") == text.count(f'<script nonce="{nonce}">') == 2
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert ask("/", headers={})[1]["Content-Security-Policy"] != policy
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/voxel/6/0/0", r"voxel (6, 0, 0) is outside the grid, whose i, j, k go 0 to 5, 0 to 4, 0 to 6"),
        ("/voxel/-1/0/0", "expected an index such as 12, found '-1'"),
        ("/voxel/1/2", "there are /scene, /plane, /structure, /voxel and /recompute"),
        ("/plane/RBE/0/0", "no layer 'RBE' in the scene; there are: dose, error"),
        ("/plane/dose/3/0", "the grid has the axes 0, 1 and 2, found 3"),
        ("/plane/dose/2/7", f"axis 2 of the grid {GRID.shape} goes from 0 to 6, found 7"),
        ("/plane/dose/0/1e3", "expected an index such as 12, found '1e3'"),
        ("/structure/heart/0/0", "no structure 'heart' in the scene; there are: PTV 1/2"),
        ("/../etc/passwd", "there are /scene, /plane, /structure, /voxel and /recompute"),
    ],
)
def test_what_is_not_there_is_named(ask, path, words):
    status, _, content = ask(path)
    assert status == 404
    assert said(content) == words


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "expected a JSON object"),
        (b"[]", 422, "expected an object with line, fraction_dose, fractions, found list"),
        (b'{"line": "HSG"}', 422, "expected an object with line, fraction_dose, fractions, found line"),
        (b'{"line": "HSG", "fraction_dose": "2", "fractions": 1}', 422, "expected a name, a dose in Gy"),
        (b'{"line": "HSG", "fraction_dose": Infinity, "fractions": 1}', 422, "expected a name, a dose in Gy"),
        (b'{"line": "HSG", "fraction_dose": 2, "fractions": 1.5}', 422, "expected a name, a dose in Gy"),
        (b'{"line": "HSG", "fraction_dose": 2, "fractions": true}', 422, "expected a name, a dose in Gy"),
        (b'{"line": "V79", "fraction_dose": 2, "fractions": 1}', 422, "no line V79"),
    ],
)
def test_a_wrong_recomputation_is_refused_in_words(ask, body, status, words):
    found, _, content = ask("/recompute", "POST", body)
    assert found == status
    assert words in said(content)


def test_lengths_and_methods_are_limited(ask, server):
    assert ask("/scene?" + 3000 * "x")[0] == 414
    assert ask("/scene", "POST", b"{}")[0] == 404
    assert ask("/scene", "DELETE")[0] == 501
    assert "411" in answer_to(server, "")
    assert "413" in answer_to(server, "Content-Length: 4097\r\n")
    assert "411" in answer_to(server, "Content-Length: -1\r\n")


def answer_to(server, header):
    """First line of the answer to a POST that claims a length, and sends nothing."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as sent:
        host = f"127.0.0.1:{server.server_port}"
        sent.sendall(
            f"POST /recompute HTTP/1.1\r\nHost: {host}\r\n{TOKEN_HEADER}: {server.token}\r\n{header}\r\n".encode()
        )
        return sent.makefile().readline()


def test_a_scene_without_a_recomputer_says_what_it_needs():
    session = Session(scene(voxels=None))
    assert session.manifest()["recompute"] is None
    assert session.voxel((1, 2, 3)) is None
    with pytest.raises(ValueError, match="give maps of alpha and beta, or a model"):
        session.recompute({})


def test_a_port_that_is_taken_is_named(server):
    with pytest.raises(StoreError, match=f"port {server.server_port} of 127.0.0.1 cannot be had"):
        ViewServer(Session(scene()), server.server_port)
    with pytest.raises(StoreError, match="port 70000"):
        ViewServer(Session(scene()), 70000)


class Chunked:
    """An array on disk, as far as a cache sees one; it counts what is read."""

    def __init__(self, values, chunks):
        self.shape, self.chunks, self.reads = values.shape, chunks, 0
        self._values = values

    def __getitem__(self, part):
        self.reads += 1
        return self._values[part]


def test_planes_of_one_chunk_are_read_once():
    values = Chunked(place(), (4, 4, 4))
    cache = PlaneCache()
    for index in range(6):
        assert np.array_equal(cache.plane(("a",), values, 0, index), place()[index])
    assert values.reads == 2
    cache.plane(("a", 1), values, 0, 0)
    assert values.reads == 3


def test_the_planes_that_were_not_used_for_longest_are_forgotten():
    values = Chunked(place(), (1, 1, 1))
    cache = PlaneCache(budget_bytes=3 * 4 * 5 * 7)
    for index in (0, 1, 2, 0, 3, 0, 1):
        cache.plane(("a",), values, 0, index)
    assert values.reads == 5  # 0, 1, 2 and 3 once, and 1 again, which 3 had driven out
