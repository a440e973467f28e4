"""The sizes of a π0 network, and the file that states them beside a checkpoint."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

ARCHITECTURE_FILE = "architecture.json"


@dataclass(frozen=True)
class VisionSizes:
    """SigLIP vision tower. `image_size` and `patch_size` are in pixels."""

    image_size: int
    patch_size: int
    width: int
    depth: int
    mlp_dim: int
    num_heads: int
    layer_norm_eps: float = 1e-6


@dataclass(frozen=True)
class GemmaSizes:
    """One Gemma decoder: the VLM's language model or the action expert."""

    width: int
    depth: int
    mlp_dim: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0


@dataclass(frozen=True)
class Architecture:
    """Every size of the network that LeRobot's own configuration has no field for."""

    vision: VisionSizes
    vlm: GemmaSizes
    expert: GemmaSizes
    vocab_size: int

    def save(self, folder: Path) -> None:
        text = json.dumps(asdict(self), indent=2)
        (folder / ARCHITECTURE_FILE).write_text(text + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Architecture":
        fields = json.loads((folder / ARCHITECTURE_FILE).read_text())
        return cls(
            vision=VisionSizes(**fields["vision"]),
            vlm=GemmaSizes(**fields["vlm"]),
            expert=GemmaSizes(**fields["expert"]),
            vocab_size=fields["vocab_size"],
        )


# No two dimensions that could be confused are equal. The vision head size is 18, which like SigLIP's 72 is
# no power of two. LeRobot's training forward pass assumes 8 attention heads.
SMALL = Architecture(
    vision=VisionSizes(image_size=56, patch_size=14, width=72, depth=2, mlp_dim=136, num_heads=4),
    vlm=GemmaSizes(width=80, depth=3, mlp_dim=176, num_heads=8, num_kv_heads=1, head_dim=16),
    expert=GemmaSizes(width=48, depth=3, mlp_dim=104, num_heads=8, num_kv_heads=1, head_dim=16),
    vocab_size=300,
)
