"""The image towers, and ConvNeXt-pico against timm's names, shapes and numbers."""

import pytest
import torch
from safetensors.torch import save_file

from rtf_models.errors import CheckpointError
from rtf_models.model import ConvNeXt, ImageTower, LightCurveCompressor, ModelError
from rtf_models.model import image_tower as image_tower_module

WIDTHS, DEPTHS = (64, 128, 256, 512), (2, 2, 6, 2)


def timm_names():
    """Names and shapes of timm's convnext_pico with num_classes=0 (version 1.0.31), in its order."""

    def pair(name, weight):
        return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}

    shapes = pair("stem.0", (64, 3, 4, 4)) | pair("stem.1", (64,))
    for s, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
        if s:
            before = WIDTHS[s - 1]
            shapes |= pair(f"stages.{s}.downsample.0", (before,))
            shapes |= pair(f"stages.{s}.downsample.1", (width, before, 2, 2))
        for b in range(depth):
            block = f"stages.{s}.blocks.{b}"
            shapes |= {f"{block}.gamma": (width,)} | pair(f"{block}.conv_dw", (width, 1, 7, 7))
            shapes |= pair(f"{block}.norm", (width,)) | pair(f"{block}.mlp.fc1", (4 * width, width, 1, 1))
            shapes |= pair(f"{block}.mlp.fc2", (width, 4 * width, 1, 1))
    return shapes | pair("head.norm", (512,))


def seeded_backbone():
    generator = torch.Generator().manual_seed(0)
    network = ConvNeXt().eval()
    for p in network.parameters():
        scale, shift = (0.1, 0.0) if p.dim() > 1 else (0.5, 1.0)
        p.data = torch.randn(p.shape, generator=generator) * scale + shift
    return network, generator


def test_names_and_shapes_are_timms():
    found = {name: tuple(tensor.shape) for name, tensor in ConvNeXt().state_dict().items()}
    assert list(found) == list(timm_names()) and found == timm_names()
    assert sum(p.numel() for p in ConvNeXt().parameters()) == 8_532_672


def test_numbers_are_timms():
    """What timm 1.0.31's convnext_pico (num_classes=0) gives for the same weights and image."""
    network, generator = seeded_backbone()
    with torch.no_grad():
        out = network(torch.randn(2, 3, 64, 64, generator=generator))
    first = torch.tensor([2.5938265, -0.1077084, 0.7375705, 0.4588211, 1.5575536])
    torch.testing.assert_close(out[0, :5], first, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(out[1, -3:], torch.tensor([4.2998290, 0.4736185, 1.0493407]), atol=1e-4, rtol=1e-4)


def test_simple_tower():
    tower = ImageTower(16, 0.0)
    images = torch.randn(3, 3, 63, 63, requires_grad=True)
    assert tower.cnn[:12](images).shape == (3, 128, 4, 4)
    out = tower(images)
    assert out.shape == (3, 16)
    out.sum().backward()
    assert all(p.grad is not None for p in tower.parameters()) and images.grad.abs().sum() > 0
    assert {name.rsplit(".", 1)[0] for name in tower.state_dict() if "proj" in name} == {"proj.2"}


@pytest.fixture
def small_zoobot(monkeypatch):
    """224 pixels cost a second a pass; 64 show the same."""
    monkeypatch.setattr(image_tower_module, "ZOOBOT_SIZE", 64)
    return lambda **arguments: ImageTower(16, 0.0, "zoobot", **arguments)


def test_frozen_backbone_stays_as_it_is(small_zoobot):
    tower = small_zoobot().train()
    assert not tower.cnn.training and tower.proj.training
    out = tower(torch.randn(2, 3, 63, 63))
    out.sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in tower.cnn.parameters())
    assert tower.proj[1].weight.grad is not None
    model = LightCurveCompressor("ae", use_images=True, image_backbone="zoobot")
    assert not model.train().image_tower.cnn.training
    assert "image_tower.proj.1.weight" in model.state_dict()
    assert "image_tower.cnn.stages.2.blocks.5.mlp.fc1.weight" in model.state_dict()


def test_fine_tuning_recomputes_in_sub_batches(small_zoobot, monkeypatch):
    """Same gradients as the plain network at once, from sub-batches of which only the inputs are kept."""
    monkeypatch.setattr(image_tower_module, "SUB_BATCH", 2)
    tower = small_zoobot(freeze_backbone=False)
    tower.cnn.load_state_dict(seeded_backbone()[0].state_dict())
    calls = []
    tower.cnn.stem.register_forward_hook(lambda module, args, out: calls.append(len(args[0])))
    images = torch.randn(5, 3, 63, 63)
    tower(images).square().sum().backward()
    assert calls[:3] == [2, 2, 1] and sorted(calls[3:]) == [1, 2, 2]
    gradient = tower.cnn.stages[1].blocks[0].conv_dw.weight.grad.clone()
    tower.zero_grad()
    large = torch.nn.functional.interpolate(images, size=(64, 64), mode="bilinear", align_corners=False)
    tower.proj(tower.cnn(large)).square().sum().backward()
    torch.testing.assert_close(gradient, tower.cnn.stages[1].blocks[0].conv_dw.weight.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("prefix", "suffix"), [("", ".safetensors"), ("encoder.", ".safetensors"), ("image_tower.cnn.", ".pth")]
)
def test_local_weights(tmp_path, small_zoobot, prefix, suffix):
    network, _ = seeded_backbone()
    state = {prefix + name: tensor.clone() for name, tensor in network.state_dict().items()}
    state |= {prefix + "head.fc.weight": torch.zeros(1000, 512)}
    state[prefix + "stages.0.blocks.0.mlp.fc1.weight"] = state[prefix + "stages.0.blocks.0.mlp.fc1.weight"][..., 0, 0]
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": state}, path)
    else:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    tower = small_zoobot()
    assert tower.load_backbone(path) == [prefix + "head.fc.weight"]
    for name, tensor in network.state_dict().items():
        assert torch.equal(tower.cnn.state_dict()[name], tensor)


def test_every_mismatch_is_named(tmp_path, small_zoobot):
    state = {name: tensor.clone() for name, tensor in ConvNeXt().state_dict().items()}
    del state["stages.3.blocks.0.gamma"]
    state["stages.1.blocks.9.gamma"] = torch.ones(128)
    state["stem.1.weight"] = torch.ones(80)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError) as caught:
        small_zoobot().load_backbone(tmp_path / "w.safetensors")
    for part in ("3 tensors", "'stages.3.blocks.0.gamma' is missing", "'stages.1.blocks.9.gamma' is unknown",
                 "'stem.1.weight' has shape (80,), expected (64,)"):  # fmt: skip
        assert part in str(caught.value)


def test_files_that_are_something_else(tmp_path, small_zoobot):
    tower = small_zoobot()
    with pytest.raises(CheckpointError, match="nothing is downloaded"):
        tower.load_backbone(tmp_path / "none.safetensors")
    for name in ("text.safetensors", "text.pth"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(CheckpointError, match="text"):
            tower.load_backbone(tmp_path / name)
    save_file({"weight": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="0 tensors are named 'stem.0.weight'"):
        tower.load_backbone(tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="this tower's is 'simple'"):
        ImageTower(16).load_backbone(tmp_path / "other.safetensors")
