"""Each primitive that becomes ONNX gives in ONNX Runtime what JAX computes."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jreid.export.onnx.handlers import HANDLERS
from jreid.export.program import trace

onnx = pytest.importorskip("onnx", reason="needs jreid[export]")
pytest.importorskip("onnxruntime", reason="needs jreid[export]")
emit = pytest.importorskip("jreid.export.onnx.emit")
onnx_network = pytest.importorskip("jreid.search.onnx_network")

RNG = np.random.default_rng(0)
WIDE = RNG.normal(size=(6, 5, 4)).astype(np.float32)  # a constant like an image
MATRIX = RNG.normal(size=(4, 3)).astype(np.float32)


def kernel(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def conv(kernel, **options):
    names = options.pop("names", ("NHWC", "HWIO", "NHWC"))
    options = {"window_strides": (1, 1), "padding": "SAME"} | options
    return lambda x: lax.conv_general_dilated(
        x, kernel, dimension_numbers=names, **options
    )


def positive(x):
    return jnp.abs(x) + 0.5


def window(start, function, size, strides, padding):
    return lambda x: lax.reduce_window(x, start, function, size, strides, padding)


# primitive -> functions of x [b 6 5 4]
CASES = {
    "abs": [jnp.abs],
    "add": [lambda x: x + WIDE[None], lambda x: x + x.mean((1, 2), keepdims=True)],
    "and": [lambda x: (x > 0) & (x < 1)],
    "argmax": [lambda x: x.argmax(-1)],
    "argmin": [lambda x: x.argmin(1)],
    "broadcast_in_dim": [
        lambda x: jnp.broadcast_to(x[:, :, None], (*x.shape[:2], 7, *x.shape[2:])),
        lambda x: jnp.broadcast_to(x.sum((1, 2, 3)), (3, x.shape[0])),
        lambda x: jnp.zeros((*x.shape, 2)) + MATRIX[0, 0],
    ],
    "ceil": [jnp.ceil],
    "clamp": [lambda x: lax.clamp(-0.5, x, 0.7)],
    "concatenate": [
        lambda x: jnp.concatenate([x, 2 * x, x[:, :, :2]], 2),
        lambda x: jnp.concatenate(
            [x.swapaxes(1, 3), x[:, 1:5, :, :].swapaxes(1, 3)], 3
        ),
        lambda x: jnp.concatenate([x.mean((1, 2)), x.max((1, 2))], -1),
        lambda x: jnp.concatenate([x, x], 0),
    ],
    "conv_general_dilated": [
        conv(kernel(3, 3, 4, 8)),
        conv(kernel(3, 2, 4, 8), window_strides=(2, 1), padding=((1, 0), (2, 1))),
        conv(kernel(3, 3, 4, 8), rhs_dilation=(2, 1), padding=((2, 2), (1, 1))),
        conv(kernel(3, 3, 2, 8), feature_group_count=2),
        conv(kernel(3, 3, 1, 4), feature_group_count=4, padding="VALID"),
        conv(kernel(8, 6, 1, 1), names=("NCHW", "OIHW", "NCHW")),
        lambda x: conv(kernel(1, 1, 8, 3))(
            jax.nn.relu(conv(kernel(3, 3, 4, 8))(x) + 1)
        ),
    ],
    "convert_element_type": [
        lambda x: (9 * x).astype(jnp.int32),
        lambda x: (x > 0).astype(jnp.float32),
    ],
    "copy": [lambda x: jnp.array(x, copy=True)],
    "cos": [jnp.cos],
    "div": [lambda x: x / positive(x), lambda x: lax.div((9 * x).astype(jnp.int32), 4)],
    "dot_general": [
        lambda x: x @ MATRIX,
        lambda x: jnp.einsum("bhwc,bhvc->bhwv", x, 2 * x),
        lambda x: jnp.einsum("bhwc,whd->bdc", x, kernel(5, 6, 2)),
        lambda x: conv(kernel(3, 3, 4, 8))(x) @ kernel(8, 2),
        lambda x: x[:, :1] @ MATRIX,
    ],
    "eq": [lambda x: jnp.floor(x) == 0],
    "erf": [lax.erf],
    "exp": [jnp.exp],
    "floor": [jnp.floor],
    "gather": [
        lambda x: x[:, np.array([3, 0, 0])],
        lambda x: x[..., np.array([[3, 1], [0, 2]])],
        lambda x: x[:, 1:5, 2, -1:],
    ],
    "ge": [lambda x: jnp.floor(x) >= 0],
    "gt": [lambda x: x > WIDE[None]],
    "integer_pow": [lambda x: x**3, lambda x: x**2, lambda x: positive(x) ** -2],
    "is_finite": [lambda x: jnp.isfinite(jnp.floor(x) / jnp.floor(x))],
    "le": [lambda x: jnp.floor(x) <= 0],
    "log": [lambda x: jnp.log(positive(x))],
    "logistic": [jax.nn.sigmoid],
    "lt": [lambda x: x < 0.5],
    "max": [lambda x: jnp.maximum(x, 0), lambda x: jnp.maximum(WIDE[None], x)],
    "min": [lambda x: jnp.minimum(x, 0.25)],
    "mul": [
        lambda x: x * WIDE[None, :1],
        lambda x: x.mean(1)[:, None] * x.mean(2)[:, :, None],
    ],
    "ne": [lambda x: jnp.floor(x) != 0],
    "neg": [lambda x: -x],
    "not": [lambda x: ~(x > 0)],
    "optimization_barrier": [lambda x: lax.optimization_barrier(x)],
    "or": [lambda x: (x > 1) | (x < 0)],
    "pad": [
        lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 0), (0, 1)), constant_values=-3),
        lambda x: lax.pad(x, 1.0, ((0, 0, 0), (-1, 2, 0), (0, -2, 0), (0, 0, 0))),
        lambda x: jnp.pad(x.mean(1, keepdims=True), ((0, 0), (1, 1), (0, 0), (0, 0))),
    ],
    "pow": [lambda x: positive(x) ** 1.5],
    "reduce_max": [lambda x: x.max((1, 2)), lambda x: x.transpose(3, 0, 1, 2).max(0)],
    "reduce_min": [lambda x: x.min(-1, keepdims=True)],
    "reduce_prod": [lambda x: x.prod(2)],
    "reduce_sum": [
        lambda x: x.sum((1, 3)),
        lambda x: jnp.broadcast_to(x[:, None], (x.shape[0], 3, *x.shape[1:])).sum(1),
    ],
    "reduce_window_max": [
        window(-np.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME"),
        window(-np.inf, lax.max, (1, 1, 2, 1), (1, 1, 1, 1), "VALID"),
        lambda x: conv(kernel(1, 1, 4, 2))(
            window(-np.inf, lax.max, (1, 3, 2, 1), (1, 1, 2, 1), "SAME")(
                conv(kernel(3, 3, 4, 4))(x)
            )
        ),
    ],
    "reduce_window_sum": [window(0.0, lax.add, (1, 2, 3, 1), (1, 1, 2, 1), "SAME")],
    "reshape": [
        lambda x: x.reshape(x.shape[0], -1),
        lambda x: x.reshape(-1, 4),
        lambda x: x.reshape(x.shape[0], 1, 6, 5, 1, 4),
        lambda x: x.transpose(0, 3, 1, 2).reshape(-1, 2, 15),
        lambda x: x[:, :1, :1].transpose(3, 2, 0, 1).reshape(4, -1),
    ],
    "rev": [lambda x: x[:, :, ::-1], lambda x: jnp.flip(x.mean(2), (1, 2))],
    "rsqrt": [lambda x: lax.rsqrt(positive(x))],
    "select_n": [
        lambda x: jnp.where(x > 0, x, WIDE[None]),
        lambda x: lax.select_n(x.max() > 0, jnp.exp(x), x),
        lambda x: lax.select_n((x > 0).astype(jnp.int32), x, 2 * x),
    ],
    "sign": [jnp.sign],
    "sin": [jnp.sin],
    "slice": [
        lambda x: lax.slice_in_dim(x, 1, 5, 2, axis=1),
        lambda x: lax.slice_in_dim(x.transpose(0, 3, 1, 2), 1, 3, axis=1),
        lambda x: lax.slice_in_dim(x.mean(1, keepdims=True), 2, 4, axis=2),
    ],
    "sqrt": [lambda x: jnp.sqrt(positive(x))],
    "square": [jnp.square],
    "squeeze": [
        lambda x: lax.squeeze(x.mean(1, keepdims=True), (1,)),
        lambda x: lax.squeeze(lax.slice_in_dim(x, 1, 2, axis=3), (3,)),
    ],
    "stack": [lambda x: jnp.stack([x, 2 * x], 2), lambda x: jnp.stack([x, -x], -1)],
    "stop_gradient": [lax.stop_gradient],
    "sub": [lambda x: x - WIDE[None], lambda x: 1 - x],
    "tanh": [jnp.tanh],
    "transpose": [lambda x: x.transpose(0, 3, 2, 1), lambda x: x.transpose(3, 1, 0, 2)],
    "unstack": [
        lambda x: sum((n + 1) * part for n, part in enumerate(lax.unstack(x, 2))),
        lambda x: jnp.sin(lax.unstack(x.transpose(0, 3, 2, 1), 1)[2]),
        lambda x: lax.unstack(x.mean(1, keepdims=True), 1)[0],
    ],
    "xor": [lambda x: (x > 0) ^ (x < 1)],
}


def symbolic(*rest):
    return jax.ShapeDtypeStruct(
        (*jax.export.symbolic_shape("batch"), *rest), np.float32
    )


def run(model, x):
    session = onnx_network.open_session(model.SerializeToString())
    return session.run(None, {"x": x})[0]


def test_every_handler_has_a_case():
    assert CASES.keys() == HANDLERS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_onnx_runtime_computes_what_jax_does(name):
    for function in CASES[name]:
        program = trace(function, symbolic(6, 5, 4))
        names = {operation.primitive.name for operation in program.operations}
        assert name in names, names
        model = emit.emit(program, ["x"], ["y"], {})
        for count in (1, 3):
            x = np.random.default_rng(count).normal(size=(count, 6, 5, 4))
            x = x.astype(np.float32)
            expected = np.asarray(function(jnp.asarray(x)))
            got = run(model, x)
            assert got.dtype == expected.dtype and got.shape == expected.shape
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda x: jnp.sort(x, -1), "primitives sort"),
        (lambda x: jnp.cumsum(x, 1), "primitives cumsum"),
        (
            lambda x: lax.pad(x, 0.0, ((0, 0, 0),) * 3 + ((0, 0, 1),)),
            "pad with padding",
        ),
        (
            conv(kernel(3, 3, 4, 8), lhs_dilation=(2, 2), padding=((1, 1), (1, 1))),
            "maps that are dilated",
        ),
        (lambda x: (9 * x).astype(jnp.int32) & 3, "and with numbers"),
        (lambda x: x[:, x.argmax().astype(int)], "primitives|indices"),
    ],
)
def test_what_has_no_onnx_form_is_refused_by_name(function, told):
    program = trace(function, symbolic(6, 5, 4))
    with pytest.raises(ValueError, match=told):
        emit.emit(program, ["x"], ["y"], {})


def test_equal_constants_are_stored_once():
    def function(x):
        return x + WIDE[None] + jnp.exp(x + WIDE[None].copy())

    model = emit.emit(trace(function, symbolic(6, 5, 4)), ["x"], ["y"], {})
    sizes = [np.prod(c.dims) for c in model.graph.initializer]
    assert sizes.count(WIDE.size) == 1


def test_maps_are_not_turned_between_convolutions():
    """One transpose into the layout of ONNX's convolutions, one out of it."""
    first, second = kernel(3, 3, 4, 8), kernel(3, 3, 8, 8)

    def function(x):
        y = jax.nn.relu(conv(first)(x) + kernel(1, 1, 1, 8))
        return jax.nn.relu(conv(second)(y) + kernel(1, 1, 1, 8)) + y

    model = emit.emit(trace(function, symbolic(6, 5, 4)), ["x"], ["y"], {})
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Transpose") == 2 and kinds.count("Relu") == 2
    assert model.opset_import[0].version == 18
