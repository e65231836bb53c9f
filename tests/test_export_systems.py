"""Published systems, narrow, as ONNX and StableHLO: jreid's vectors at any batch."""

import jax
import narrow
import numpy as np
import pytest

from jreid.export import stablehlo_file
from jreid.export.embedding import LIMIT, Network, program_of, random_images
from jreid.models.embedding import unit_rows
from jreid.models.modules.keys import WeightKeys
from jreid.training.build import build_embed, network_maker
from jreid.training.state import params_and_stats

pytest.importorskip("onnx", reason="needs jreid[export]")
pytest.importorskip("onnxruntime", reason="needs jreid[export]")
onnx_file = pytest.importorskip("jreid.export.onnx_file")

# Each has operations of its own, or other shapes. Of those with the same ones there is
# one: tone and tone_batch are bdtr, mac_like and baseline mace_like, caj_plus caj,
# dscnet agw, cmgan_minmax cmgan, adca base, pgm agw, hctri_code hctri, rle_paper rle,
# vsd_eq8 vsd, xmodal_released xmodal, ours1 to ours4 full, gem_only base.
SYSTEMS = (
    *("full", "agw", "average_only", "base", "bdtr", "caj", "cmcen", "deen"),
    *("dfe_like", "dpmbn_like"),
    *("gem_average", "gem_max", "hc", "hctri", "mace_like", "mcja", "mmn", "rle"),
    *("strong", "vsd", "xmodal", "cmcen_adv", "cmgan", "ddag", "mpanet", "pdm"),
    *("saai", "fbp_like", "hicmd", "pmt", "d2rl_like"),
)


def network_of(name):
    """With statistics that are not the initial ones, so that they matter."""
    config = narrow.narrow(name)
    made = network_maker(config, narrow.CLASSES)(WeightKeys(0))
    params, stats = params_and_stats(made)
    rng = np.random.default_rng(0)
    stats = jax.tree.map(lambda x: x + rng.uniform(0, 0.3, x.shape).astype("f4"), stats)
    embed = build_embed(config, narrow.CLASSES)
    return Network(embed, params, stats, "fused", config.size)


@pytest.mark.long
@pytest.mark.parametrize("name", SYSTEMS)
def test_files_give_the_systems_vectors(name):
    network = network_of(name)
    program = program_of(network)
    assert not {o.primitive.name for o in program.operations} & {"cond", "jit"}
    exported = onnx_file.loaded(onnx_file.serialised(program, {}))
    compiled = stablehlo_file.loaded(stablehlo_file.serialised(program))
    for count in (1, 7, 64):
        images = random_images(count, network.size)
        for number, modality in enumerate(("visible", "infrared")):
            made = network.embed(network.params, network.stats, images, modality)
            expected = np.asarray(unit_rows(made["fused"]))
            given = images, np.array(number, np.int32)
            np.testing.assert_allclose(exported(*given), expected, atol=LIMIT)
            if count < 64:
                np.testing.assert_allclose(compiled(*given), expected, atol=LIMIT)
