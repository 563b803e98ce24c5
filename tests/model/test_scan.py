"""The scans: both implementations against a plain float64 recurrence, gradients, shapes, errors."""

from __future__ import annotations

import subprocess

import pytest
import torch

from venom_hw import compiled
from venom_hw.model import ModelError, linear_scan, scan_kernel, selective_scan

SHAPES = [(3, 21, 16, 8), (2, 5, 6, 3), (1, 1, 16, 8), (4, 130, 16, 8), (2, 3, 1, 1)]


@pytest.fixture(scope="module", autouse=True)
def _kernel():
    if scan_kernel.library() is None:
        pytest.skip("no C++ compiler: the kernel cannot be tested")


def inputs(shape, dtype, seed=0):
    batch, length, d_inner, d_state = shape
    generator = torch.Generator().manual_seed(seed)

    def random(*size):
        return torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype)

    x, delta = random(batch, length, d_inner), torch.nn.functional.softplus(random(batch, length, d_inner) - 1)
    A = -torch.exp(random(d_inner, d_state))
    values = (x, delta, A, random(batch, length, d_state), random(batch, length, d_state))
    return [v.requires_grad_() for v in values]


def reference(x, delta, A, B, C):
    """The recurrence as written, with autograd through every operation."""
    h, ys = torch.zeros(x.shape[0], *A.shape, dtype=x.dtype), []
    for t in range(x.shape[1]):
        drive = (delta[:, t] * x[:, t]).unsqueeze(-1) * B[:, t].unsqueeze(1)
        h = torch.exp(delta[:, t].unsqueeze(-1) * A) * h + drive
        ys.append((h * C[:, t].unsqueeze(1)).sum(-1))
    return torch.stack(ys, 1), h


def worst(found, wanted):
    """Largest difference relative to the largest magnitude, over pairs of tensors."""
    pairs = [(f.detach().double(), w.detach().double()) for f, w in zip(found, wanted, strict=True)]
    return max(float((f - w).abs().max() / (w.abs().max() + 1e-30)) for f, w in pairs)


def values_and_gradients(function, values):
    y, h = function(*values)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(y.dtype)
    return (y, h, *torch.autograd.grad(y, values, weights))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("implementation", ["torch", "kernel"])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_selective_scan_equals_the_recurrence(shape, implementation, dtype, tolerance):
    wanted = values_and_gradients(reference, [v.detach().double().requires_grad_() for v in inputs(shape, dtype)])
    found = values_and_gradients(lambda *v: selective_scan(*v, implementation), inputs(shape, dtype))
    assert worst(found, wanted) < tolerance


def test_selective_scan_is_exact_over_long_sequences():
    values = inputs((1, 6000, 4, 2), torch.float32)
    with torch.no_grad():
        values[2].mul_(1e-4)  # decays so slowly that thousands of samples are summed
        wanted = reference(*(v.double() for v in values))
        assert worst(selective_scan(*values, "kernel"), wanted) < 1e-4
        assert worst(selective_scan(*values, "torch"), wanted) < 1e-4


def test_kernel_exponential_reaches_zero_and_one():
    """Decays from exp(0) to exp(-200): no garbage outside the range of the polynomial."""
    _, delta, _, B, C = inputs((2, 6, 16, 8), torch.float32)
    x, A = torch.ones_like(delta), -torch.logspace(-8, 3, 128).reshape(16, 8)
    with torch.no_grad():
        assert worst(selective_scan(x, delta, A, B, C, "kernel"),
                     reference(*(v.double() for v in (x, delta, A, B, C)))) < 2e-6


def test_a_nan_is_not_hidden():
    values = [v.detach() for v in inputs((1, 4, 16, 8), torch.float32)]
    values[1][0, 2, 3] = torch.nan
    y, _ = selective_scan(*values, "kernel")
    assert y[0, 2:, 3].isnan().all() and not y[0, :2].isnan().any() and not y[0, :, 4].isnan().any()


def test_gradcheck_of_the_fallback():
    torch.autograd.gradcheck(lambda *v: selective_scan(*v, "torch")[0], inputs((2, 4, 3, 2), torch.float64))
    a, b = (v.detach().requires_grad_() for v in inputs((2, 5, 3, 2), torch.float64)[:2])
    torch.autograd.gradcheck(lambda a, b: linear_scan(a, b, "torch"), (a, b))


@pytest.mark.parametrize("implementation", ["torch", "kernel"])
def test_gradients_of_transposed_and_strided_inputs(implementation):
    values = inputs((3, 7, 16, 8), torch.float64)
    strided = [v.detach().transpose(0, -1).contiguous().transpose(0, -1).requires_grad_() for v in values]
    assert not strided[0].is_contiguous()
    found = values_and_gradients(lambda *v: selective_scan(*v, implementation), strided)
    assert worst(found, values_and_gradients(reference, values)) < 1e-13


@pytest.mark.parametrize("implementation", ["torch", "kernel"])
@pytest.mark.parametrize("shape", [(2, 9, 16, 8), (3, 1, 5), (1, 40, 2, 3)])
def test_linear_scan_equals_the_recurrence(implementation, shape):
    generator = torch.Generator().manual_seed(3)
    a = torch.rand(shape, generator=generator, dtype=torch.float64).requires_grad_()
    b = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    weights = torch.randn(shape, generator=generator, dtype=torch.float64)
    h, rows = torch.zeros_like(b[:, 0]), []
    for t in range(shape[1]):
        h = a[:, t] * h + b[:, t]
        rows.append(h)
    wanted = torch.stack(rows, 1)
    found = linear_scan(a, b, implementation)
    assert worst([found, *torch.autograd.grad(found, (a, b), weights)],
                 [wanted, *torch.autograd.grad(wanted, (a, b), weights)]) < 1e-14


def test_linear_scan_equals_mambapy():
    pscan = pytest.importorskip("mambapy.pscan").pscan
    generator = torch.Generator().manual_seed(3)
    a, b = torch.rand(2, 30, 4, 3, generator=generator), torch.randn(2, 30, 4, 3, generator=generator)
    torch.testing.assert_close(linear_scan(a, b), pscan(a, b), rtol=1e-5, atol=1e-5)


def test_result_does_not_depend_on_threads():
    values, before = inputs((8, 30, 16, 8), torch.float32), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = values_and_gradients(lambda *v: selective_scan(*v, "kernel"), values)
        torch.set_num_threads(2)
        two = values_and_gradients(lambda *v: selective_scan(*v, "kernel"), values)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_wrong_shapes_are_named():
    x, delta, A, B, C = inputs((2, 4, 3, 2), torch.float32)
    with pytest.raises(ModelError, match=r"delta has shape \(2, 3, 3\), expected \(2, 4, 3\)"):
        selective_scan(x, delta[:, :3], A, B, C)
    with pytest.raises(ModelError, match=r"C has shape \(2, 4, 1\), expected \(2, 4, 2\)"):
        selective_scan(x, delta, A, B, C[..., :1])
    with pytest.raises(ModelError, match="not empty"):
        selective_scan(x[:, :0], delta, A, B, C)
    with pytest.raises(ModelError, match="expected one shape"):
        linear_scan(x, x[:, :2])
    with pytest.raises(ModelError, match="implementation 'cuda'"):
        selective_scan(x, delta, A, B, C, "cuda")
    with pytest.raises(ModelError, match="not available for"):
        selective_scan(x.half(), delta.half(), A.half(), B.half(), C.half(), "kernel")


def test_environment_chooses(monkeypatch):
    x, delta, A, B, C = inputs((1, 3, 2, 2), torch.float32)
    monkeypatch.setenv("VENOM_SCAN", "torch")
    monkeypatch.setattr(scan_kernel, "_call", lambda *a: pytest.fail("the kernel was called"))
    selective_scan(x, delta, A, B, C)


def test_compiled_library_is_kept_and_keyed(tmp_path, monkeypatch):
    first = scan_kernel.build(tmp_path)
    assert first.parent == tmp_path and [p.name for p in tmp_path.iterdir()] == [first.name]
    stamp = first.stat().st_mtime_ns
    assert scan_kernel.build(tmp_path) == first and first.stat().st_mtime_ns == stamp
    changed = tmp_path / "scan_kernel.cpp"
    changed.write_text(compiled.read_source(scan_kernel.SOURCE) + "// another\n")
    monkeypatch.setattr(scan_kernel, "SOURCE", changed)
    assert scan_kernel.build(tmp_path) != first


def test_without_a_compiler_there_is_one_warning_and_the_same_result(tmp_path, monkeypatch):
    values = inputs((2, 6, 16, 8), torch.float32)
    wanted = selective_scan(*values, "kernel")[0]
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("VENOM_CACHE", str(tmp_path))
    scan_kernel.library.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="no-such-compiler"):
            found = selective_scan(*values)[0]
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
        with pytest.raises(ModelError, match="needs a C"):
            selective_scan(*values, "kernel")
    finally:
        scan_kernel.library.cache_clear()


def test_a_failing_compiler_is_reported(tmp_path, monkeypatch):
    broken = tmp_path / "broken.cpp"
    broken.write_text("int f( {\n")
    monkeypatch.setattr(scan_kernel, "SOURCE", broken)
    with pytest.raises(scan_kernel.KernelUnavailable, match="broken.cpp"):
        scan_kernel.build(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_kernel_compiles_without_a_warning(tmp_path):
    compiler, _ = compiled.compiler()
    flags = [f for f in scan_kernel.FLAGS if f not in ("-shared", "-O3")]
    command = [compiler, *flags, "-O1", "-Wall", "-Wextra", "-c", str(scan_kernel.SOURCE), "-o", str(tmp_path / "k.o")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
