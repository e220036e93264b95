"""Runs the reference implementation on a tiny random checkpoint and keeps what every stage gave: the golden tensors.

    python -m tug.sd15.make_goldens --reference REFERENCE --out ../packages/engine/test/goldens/lightningdrag
    python -m tug.sd15.make_goldens --bundle --out ../packages/engine/test/goldens/lightningdrag

REFERENCE is a checkout of github.com/magic-research/LightningDrag, run with the versions that it pins (diffusers
0.29.2, transformers 4.36.2, peft 0.10.0). Nothing of it is changed: this script only feeds it noise, takes the mean
where it samples the VAE's posterior, keeps its stored features in float32 (it casts them to fp16), and listens. One
safetensors file a case; the case's own parameters are in its metadata. `--bundle` writes the bundle of the same
checkpoint, graphs gzipped, for the engine's tests.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from .random_checkpoint import TINY, make_random_checkpoint


@dataclass(frozen=True)
class Case:
    name: str
    scheduler: str
    steps: int
    height: int
    width: int
    drags: int
    candidates: int
    guidance: float
    decay: str = "inv_square"
    guided_steps: int | None = None  # None: all; the reference knows no other "off" than 0
    stages: bool = False  # keep the features too


CASES = (
    Case("ddim25-square", "DDIM", 25, 128, 128, 1, 1, 4.0, stages=True),
    Case("ddim25-wide-20drags", "DDIM", 25, 128, 192, 20, 4, 4.0, "linear", 10),
    Case("ddim25-unguided-20drags", "DDIM", 25, 128, 128, 20, 1, 3.0, guided_steps=0),
    Case("lcm8-square-20drags", "LCM", 8, 128, 128, 20, 4, 3.0),
    Case("lcm8-wide-unguided", "LCM", 8, 128, 192, 1, 1, 3.0, guided_steps=0),
    Case("ddim4-none", "DDIM", 4, 64, 128, 3, 1, 3.0, "none", 3),
    Case("ddim4-linear", "DDIM", 4, 64, 128, 3, 1, 3.0, "linear"),
    Case("ddim4-square", "DDIM", 4, 64, 128, 3, 1, 3.0, "square"),
    Case("ddim4-quadratic", "DDIM", 4, 64, 128, 3, 1, 3.0, "quadratic"),
    Case("lcm1-512x768", "LCM", 1, 512, 768, 20, 1, 3.0, guided_steps=0),
)


def picture(height: int, width: int) -> np.ndarray:
    """A test picture made of integers alone, uint8 [H, W, 3]: smooth waves that no two pictures' rows share."""
    y, x = np.mgrid[:height, :width]
    waves = [(3 + c) * x + (5 - c) * y + ((x * y) >> (5 + c)) for c in range(3)]
    return np.stack([np.abs(wave % 512 - 256).clip(0, 255) for wave in waves], -1).astype(np.uint8)


def mask(height: int, width: int) -> np.ndarray:
    """uint8 [H, W], 255 where the picture may change: most of it, with edges off the latent's grid."""
    out = np.zeros((height, width), np.uint8)
    out[height // 5 : height - height // 7, width // 6 : width - width // 9] = 255
    return out


def drags(count: int, height: int, width: int) -> np.ndarray:
    """int64 [N, 4]: handle x, y, target x, y. From 2 drags on the last two share their handle: the later one wins."""
    i = np.arange(count)
    points = np.stack([37 * i + 11, 53 * i + 17, 71 * i + 29, 43 * i + 31], 1)
    if count > 1:
        points[-1, :2] = points[-2, :2]
    return points % np.array([width, height, width, height])


def load_reference(reference: Path, checkpoint: Path, scheduler: str) -> Any:
    """The reference's pipeline on the CPU in float32, put together as its demo does on a GPU in fp16."""
    sys.path.insert(0, str(reference))
    from diffusers import AutoencoderKL, DDIMScheduler, LCMScheduler, UNet2DConditionModel
    from models.appearance_encoder import AppearanceEncoderModel
    from models.ip_adapter import ImageProjModel
    from models.mutual_self_attention import ReferenceAttentionControl
    from models.point_embedding import PointEmbeddingModel
    from pipeline.lightningdrag_pipeline import LightningDragPipeline
    from safetensors.torch import load_file
    from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

    ReferenceAttentionControl.update.__defaults__ = (torch.float32,)
    base, drag = checkpoint / "dreamshaper-8-inpainting", checkpoint / "lightning-drag-sd15"
    adapter = checkpoint / "IP-Adapter" / "models"
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet")
    appearance = AppearanceEncoderModel.from_config({**unet.config, "in_channels": 4})
    appearance.load_state_dict(load_file(drag / "appearance_encoder" / "diffusion_pytorch_model.safetensors"))
    vision = CLIPVisionModelWithProjection.from_pretrained(adapter / "image_encoder")
    ip_state = torch.load(adapter / "ip-adapter_sd15.bin", weights_only=True)
    projection = ImageProjModel(unet.config.cross_attention_dim, vision.config.projection_dim, 4)
    projection.load_state_dict(ip_state["image_proj"])
    points = PointEmbeddingModel(embed_dim=TINY.point_width)
    points.load_state_dict(torch.load(drag / "point_embedding" / "point_embedding.pt", weights_only=True))
    pipe = LightningDragPipeline(
        vae=AutoencoderKL.from_pretrained(checkpoint / "sd-vae-ft-mse"),
        text_encoder=CLIPTextModel.from_pretrained(base, subfolder="text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(base, subfolder="tokenizer"),
        unet=unet,
        appearance_encoder=appearance,
        scheduler=DDIMScheduler.from_pretrained(base, subfolder="scheduler"),
        feature_extractor=CLIPImageProcessor(),
        image_encoder=vision,
        point_embedding=points,
        safety_checker=None,
        requires_safety_checker=False,
        fusion_blocks="full",
        initialize_attn_processor=True,
        use_norm_attn_processor=True,
        initialize_ip_attn_processor=True,
        image_proj_model=projection,
    )
    numbered = torch.load(drag / "lightning-drag-sd15-attn.bin", weights_only=True) | ip_state["ip_adapter"]
    torch.nn.ModuleList(pipe.unet.attn_processors.values()).load_state_dict(numbered)
    if scheduler == "LCM":
        pipe.load_lora_weights(checkpoint / "lcm-lora-sdv1-5")
        pipe.fuse_lora()
        pipe.scheduler = LCMScheduler.from_pretrained(base, subfolder="scheduler")
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(torch.float32)


class Listener:
    """Feeds the pipeline its noise and writes down what passes by."""

    def __init__(self, pipe: Any, noises: list[Tensor]) -> None:
        import diffusers.schedulers.scheduling_lcm as lcm_module
        import pipeline.lightningdrag_pipeline as pipeline_module
        from diffusers.models.attention import BasicTransformerBlock
        from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
        from models.mutual_self_attention import ReferenceAttentionControl

        self.kept: dict[str, Tensor] = {}
        queue = iter(noises)
        pipeline_module.randn_tensor = lcm_module.randn_tensor = lambda *_, **__: next(queue)
        DiagonalGaussianDistribution.sample = lambda own, generator=None: own.mean
        self.hooks = [
            pipe.text_encoder.register_forward_hook(lambda m, i, o: self.keep("text", o[0])),
            pipe.image_encoder.register_forward_pre_hook(lambda m, i: self.keep("clip_pixels", i[0])),
            pipe.image_proj_model.register_forward_hook(lambda m, i, o: self.keep("image_tokens", o)),
            pipe.point_embedding.register_forward_hook(self.keep_points),
            pipe.unet.register_forward_hook(self.keep_epsilon),
        ]
        add_noise, decode, update = pipe.scheduler.add_noise, pipe.vae.decode, ReferenceAttentionControl.update

        def listen_add_noise(latent: Tensor, noise: Tensor, t: Tensor) -> Tensor:
            self.keep("latent", latent[:1])
            return add_noise(latent, noise, t)

        def listen_decode(latent: Tensor, **options: Any) -> Any:
            result = decode(latent, **options)
            self.keep("picture", result[0])
            return result

        def listen_update(own: Any, writer: Any) -> None:
            update(own, writer)
            blocks = [module for module in own.unet.modules() if isinstance(module, BasicTransformerBlock)]
            for index, block in enumerate(blocks):
                self.keep(f"ref_{index}", block.bank[0][:1])

        pipe.scheduler.add_noise, pipe.vae.decode = listen_add_noise, listen_decode
        ReferenceAttentionControl.update = listen_update
        self.restore = lambda: setattr(ReferenceAttentionControl, "update", update)

    def keep(self, name: str, tensor: Tensor) -> None:
        self.kept.setdefault(name, tensor.detach().float().clone())

    def keep_points(self, module: Any, inputs: Any, outputs: tuple[list[Tensor], list[Tensor]]) -> None:
        for end, levels in zip(("handle", "target"), outputs, strict=True):
            for level, tensor in enumerate(levels):
                self.keep(f"point_{end}_{level}", tensor[:1])

    def keep_epsilon(self, module: Any, inputs: tuple[Tensor, ...], outputs: tuple[Tensor]) -> None:
        half = outputs[0].shape[0] // 2
        self.keep("masked_latent", inputs[0][:1, 5:])
        self.keep("epsilon_uncond", outputs[0][:1])
        self.keep("epsilon_cond", outputs[0][half : half + 1])

    def close(self) -> None:
        for hook in self.hooks:
            hook.remove()
        self.restore()


def run_case(pipe: Any, case: Case) -> dict[str, Tensor]:
    """The tensors of one case, thinned where whole ones would be large."""
    generator = torch.Generator().manual_seed(1)
    shape = (case.candidates, 4, case.height // 8, case.width // 8)
    count = case.steps if case.scheduler == "LCM" else 1
    noises = [torch.randn(shape, generator=generator) for _ in range(count)]
    listener = Listener(pipe, noises)
    source = torch.from_numpy(picture(case.height, case.width)).permute(2, 0, 1)[None]
    points = torch.from_numpy(drags(case.drags, case.height, case.width))
    latents: list[Tensor] = []
    from PIL import Image

    pipe(
        prompt="",
        ref_image=2.0 * source / 255.0 - 1.0,
        mask_image=Image.fromarray(mask(case.height, case.width)),
        height=case.height,
        width=case.width,
        num_inference_steps=case.steps,
        guidance_scale_points=case.guidance,
        guidance_scale_decay=case.decay,
        num_guidance_steps=case.guided_steps,
        num_images_per_prompt=case.candidates,
        output_type="pt",
        handle_points=points[:, [1, 0]],
        target_points=points[:, [3, 2]],
        callback=lambda i, t, x: latents.append(x.detach().clone()),
    )
    listener.close()
    kept = listener.kept
    kept["clip_pixels"] = kept["clip_pixels"][:, :, ::7, ::7]
    thin = max(1, case.height // 64)
    kept["picture"] = kept["picture"][:, :, ::thin, ::thin]
    if not case.stages:
        kept = {name: tensor for name, tensor in kept.items() if not name.startswith(("ref_", "point_", "text"))}
    kept["noise"] = torch.stack(noises)
    kept["latents"] = torch.stack(latents if case.candidates == 1 else latents[:2] + latents[-1:])
    return {name: tensor.contiguous() for name, tensor in kept.items()}


def digest(folder: Path) -> str:
    """One hash over the checkpoint's tensors files, to tell a drifted generator from a wrong network."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*.safetensors")):
        total.update(file.read_bytes())
    return total.hexdigest()


def write_bundle(checkpoint: Path, out: Path) -> None:
    """The checkpoint's fp32 bundle under `out`/bundle, each graph gzipped."""
    from .export import ImportConfig, import_checkpoint

    with tempfile.TemporaryDirectory() as temporary:
        (folder,) = import_checkpoint(
            ImportConfig(checkpoint, Path(temporary) / "lightningdrag-tiny", "fp32", lcm=True)
        )
        target = out / "bundle"
        target.mkdir(parents=True, exist_ok=True)
        (target / "bundle.json").write_bytes((folder / "bundle.json").read_bytes())
        for graph in sorted(folder.glob("*.onnx")):
            (target / f"{graph.name}.gz").write_bytes(gzip.compress(graph.read_bytes(), 9, mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="checkout of the reference implementation")
    parser.add_argument("--bundle", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[case.name for case in CASES])
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        checkpoint = make_random_checkpoint(Path(temporary))
        if args.bundle:
            write_bundle(checkpoint, args.out)
        for case in CASES if args.reference else ():
            if case.name not in args.only:
                continue
            pipe = load_reference(args.reference, checkpoint, case.scheduler)
            tensors = run_case(pipe, case)
            file = args.out / f"{case.name}.safetensors"
            save_file(tensors, file, {"case": json.dumps(asdict(case)), "checkpoint": digest(checkpoint)})
            print(f"{file}: {file.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
