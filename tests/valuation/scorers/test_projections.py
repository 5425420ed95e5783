"""Projections: linear images of written-out gradients, kept inner products, one for all batches."""

import numpy as np
import pytest
import torch
from pair_cases import context_of, joined, written_out

from equigrad.errors import ConfigError
from equigrad.valuation.scorers.projections import (
    DenseProjection,
    KroneckerProjection,
    projection,
)


def shapes_of(context):
    return {name: p.shape for name, p in context.trajectory.model.named_parameters()}


def images(context, project, index=0):
    """Return every record's image at a checkpoint."""
    with context.opened() as model_pass:
        context.trajectory.load(index)
        parts = [project(visit.grads) for visit in context.visits(model_pass, index)]
    return torch.cat(parts)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize("name", ["kron", "dense"])
def test_inner_products_are_kept_in_expectation(kind, name):
    context = context_of(kind, n=6)
    rows = joined(written_out(context, index=0))
    want = rows @ rows.T
    lengths = rows.norm(dim=1)
    scale = torch.outer(lengths, lengths)
    found = []
    for seed in range(300):
        image = images(context, projection(name, shapes_of(context), 40, seed))
        found.append((image @ image.T - want) / scale)
    errors = torch.stack(found)
    # 36 means of 300: five standard errors are passed by chance once in some 50,000 runs.
    limit = 5 * errors.std(0) / 300**0.5 + 1e-12
    assert (errors.mean(0).abs() <= limit).all()
    assert errors.std(0).max() > 1e-3  # it is no identity
    assert errors.std(0).max() < 2.0


@pytest.mark.parametrize("name", ["kron", "dense"])
def test_one_map_for_all_batches_and_checkpoints(name):
    found = []
    for size in (1, 4, 512):
        context = context_of("conv", batch_size=size)
        found.append(images(context, projection(name, shapes_of(context), 30, 7), index=1))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-12, atol=1e-12)
    # The map is read off one checkpoint's gradients and must explain those of another.
    context = context_of("mlp", n=60)
    project = projection(name, shapes_of(context), 12, 7)
    first, second = (joined(written_out(context, index=t)) for t in (0, 1))
    fitted = torch.linalg.lstsq(first, images(context, project, 0), driver="gelsd").solution
    both = torch.cat([first, second])
    assert torch.linalg.matrix_rank(both) == torch.linalg.matrix_rank(first)
    torch.testing.assert_close(second @ fitted, images(context, project, 1), atol=1e-8, rtol=0)
    again = projection(name, shapes_of(context), 12, 7)
    torch.testing.assert_close(images(context, again), images(context, project), rtol=0, atol=0)
    other = projection(name, shapes_of(context), 12, 8)
    assert not torch.allclose(images(context, other), images(context, project))


def test_the_kronecker_image_is_that_of_two_sides():
    context = context_of("mlp", n=4)
    project = KroneckerProjection(shapes_of(context), 40, 3)
    got, rows, at = images(context, project), written_out(context, index=0), 0
    for name, (left, right) in project._maps.items():
        its = rows[name]
        want = its @ left.double().T if right is None else left @ its @ right.double().T
        part = want.flatten(1)
        torch.testing.assert_close(got[:, at : at + part.shape[1]], part)
        at += part.shape[1]
    assert at == got.shape[1] <= 40


@pytest.mark.parametrize(
    ("shape", "share", "want"), [((50, 40), 25, (5, 5)), ((2, 40), 25, (2, 12))]
)
def test_sides_share_the_dimension_and_short_ones_are_kept(shape, share, want):
    project = KroneckerProjection({"w": torch.Size(shape)}, share, 0)
    left, right = project._maps["w"]
    assert (left.shape[0], right.shape[0]) == want
    assert torch.equal(left, torch.eye(2, dtype=torch.float64)) == (shape[0] == 2)
    narrow = KroneckerProjection({"w": torch.Size((40, 2))}, share, 0)._maps["w"]
    assert [side.shape[0] for side in narrow] == [12, 2]


def test_dense_signs_come_in_chunks(monkeypatch):
    context = context_of("mlp", n=4)
    project = DenseProjection(shapes_of(context), 9, 3)
    whole = images(context, project)
    monkeypatch.setattr("equigrad.valuation.scorers.projections._CHUNK_NUMBERS", 40)
    np.testing.assert_allclose(images(context, project), whole, rtol=0, atol=1e-14)
    signs = np.concatenate(list(project._rows.values()), axis=1)
    assert set(np.unique(signs)) == {-1, 1}
    rows = joined(written_out(context, index=0)).numpy()
    np.testing.assert_allclose(whole, rows @ signs.T / 3, rtol=1e-10)


def test_what_is_too_big_or_unknown():
    with pytest.raises(ConfigError, match=r"got 1000000 times 500.*projection='kron'"):
        DenseProjection({"w": torch.Size((1000, 1000))}, 500, 0)
    with pytest.raises(ConfigError, match="dense, kron"):
        projection("sparse", {"w": torch.Size((2, 2))}, 4, 0)
    with pytest.raises(ConfigError, match="dimension"):
        projection("kron", {"w": torch.Size((2, 2))}, 0, 0)


def test_global_random_state_is_untouched():
    torch.manual_seed(5)
    np_state, state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    context = context_of("mlp", n=4)
    images(context, projection("kron", shapes_of(context), 12, 1))
    images(context, projection("dense", shapes_of(context), 12, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert (np.random.get_state()[1] == np_state).all()  # noqa: NPY002
