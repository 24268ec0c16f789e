"""What each container of a rendered Pod may do, as podman set it up (contract section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from tests.engines.distribution import LLAMA_STACK

if TYPE_CHECKING:
    from tests.pods.conftest import Files, Play
    from tests.pods.images import Images

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("pods")]

MIB = 1 << 20


def test_every_container_is_confined(images: Images, files: Files, play: Play) -> None:
    image = images.sample("echo-inference")
    text = files.render({"image": images.server(LLAMA_STACK)}, {"id": "echo", "image": image})
    # the first container fails, so that podman keeps them all
    pod = play(text.replace("--api=inference", "--api=safety"), ok=False)
    (manifest,) = yaml.safe_load_all(text)
    init = [it["name"] for it in manifest["spec"]["initContainers"]]
    assert init == [
        "install-provider-echo",
        "extract-distribution-config",
        "merge-config",
        "preflight",
    ]
    for name in (*init, "llama-stack"):
        found = pod.inspect(name)
        host = found["HostConfig"]
        assert found["Config"]["User"] == "1001", name
        assert host["ReadonlyRootfs"], name
        assert not host["Privileged"], name
        assert not found["EffectiveCaps"], name
        assert not found["BoundingCaps"], name
        assert "no-new-privileges" in host["SecurityOpt"], name
        assert host["Memory"] == (512 * MIB if name in init else 0), name
