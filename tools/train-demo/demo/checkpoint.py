"""The demo checkpoint: its sizes, its files, and the model put together from the phases' results."""

import json
import sys

import torch
import torch.nn as nn
from safetensors.torch import load_file, save_file

from . import chat, data, parts, paths, tokenizer, train_vit
from .model import VarGPT
from .vae import VAE

HIDDEN, LAYERS, HEADS, INNER = 192, 5, 6, 512
WIDTH, DEPTH, VAR_HEADS = 192, 6, 3
CONTEXT = 2048
STAGES = ("language", "stage1", "stage2", "stage3", "match", "last")


def config(words):
    """config.json."""
    total = words.tokenizer.get_vocab_size()
    vocab = (total + 63) // 64 * 64
    return {
        "architectures": ["VARGPTLlavaForConditionalGeneration"], "model_type": "vargpt_llava",
        "hidden_size": HIDDEN, "ignore_index": -100, "image_seq_length": data.PATCHES,
        "image_token_index": words.image, "pad_token_id": words.pad, "projector_hidden_act": "gelu",
        "special_tokens": {"image_token_id": words.image, "image_gen_start_token_id": words.draw,
                           "image_gen_end_token_id": words.drawn, "image_gen_pad_token_id": words.place},
        "text_config": {
            "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": HIDDEN // HEADS,
            "vocab_size": vocab, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False,
            "bos_token_id": words.start, "eos_token_id": words.end, "pad_token_id": words.pad},
        "vision_config": {"model_type": "clip_vision_model", "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
                          **train_vit.CONFIG},
        "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "torch_dtype": "float16",
        "var_patch_nums": list(data.PATCH_NUMS), "vae_norm_groups": 8,
    }


def build(words):
    """The whole model, initialised alike each time (what never learns, such as cond, is in no phase's result) but for
    the eye and the VQVAE, which their phases have trained."""
    torch.manual_seed(0)
    sizes = {"depth": DEPTH, "width": WIDTH, "var_heads": VAR_HEADS, "codes": 1024, "z": 16, "vae_width": 32,
             "vae_multipliers": (1, 1, 2, 4), "vae_blocks": 1, "phis": 4, "classes": words.draw + 2}
    m = VarGPT(config(words), sizes)
    for name, p in m.named_parameters():
        if name.startswith(("vision_tower", "vae_local")):
            continue
        if p.ndim >= 2 and "scale_mul" not in name:
            nn.init.normal_(p, std=0.02 if "emb" in name or "pos_" in name else p.shape[-1] ** -0.5)
        elif name.endswith("bias") or name.endswith("_bias"):
            nn.init.zeros_(p)
    with torch.no_grad():
        for layer in m.language_model.model.layers:
            layer.self_attn.o_proj.weight.mul_(0.3)
            layer.mlp.down_proj.weight.mul_(0.3)
        for block in m.vargpt_gen.blocks:
            block.attn.proj.weight.mul_(0.3)
            block.ffn.fc2.weight.mul_(0.3)
            block.ada_lin[1].weight.mul_(0.1)
            block.ada_lin[1].bias[:2 * WIDTH].fill_(1.0)      # the gates γ1, γ2 start open
        m.vargpt_gen.head_nm.ada_lin[1].weight.mul_(0.1)
        # cond is the one row that is read; the others stay zero.
        m.vargpt_gen.class_emb.weight[:-1].zero_()
        m.vargpt_gen.class_emb.weight[-1].normal_(std=0.5)
    parts.load("vit", m.vision_tower.vision_model)
    parts.load("vae", m.vae_local)
    return m


def overlay(m, helper, stage):
    """Loads what a stage has trained; False where it has no result."""
    found = parts.path(stage)
    if found is None:
        return False
    own = {**m.state_dict(), **{f"helper.{k}": v for k, v in helper.state_dict().items()}}
    with torch.no_grad():
        for k, v in load_file(found).items():
            own[k][:len(v)].copy_(v.float())     # the helper had fewer rows once
    return True


def words():
    return chat.Words(tokenizer.FILE)


def export(folder, stages=STAGES):
    """Writes the checkpoint folder from the newest stage's result."""
    w = words()
    m, helper = build(w), nn.Linear(HIDDEN, 1)
    done = [s for s in stages if parts.path(s)]
    for s in done:
        found = {k: v for k, v in load_file(parts.path(s)).items() if not k.startswith("helper.")}
        m.load_state_dict({k: v.float() for k, v in found.items()}, strict=False)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.half().contiguous() if v.is_floating_point() else v.contiguous()
               for k, v in m.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    def write(name, value):
        (folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    write("config.json", config(w))
    write("generation_config.json", {
        "bos_token_id": w.start, "eos_token_id": w.end, "pad_token_id": w.pad,
        "do_sample": True, "temperature": 0.3, "top_p": 0.9,
        "image_generation": {"guidance_scale": 1.5, "temperature": 0.3, "top_k": 900, "top_p": 0.96}})
    write("preprocessor_config.json", {
        "crop_size": {"height": 64, "width": 64}, "do_center_crop": True, "do_convert_rgb": True,
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": list(data.MEAN),
        "image_processor_type": "CLIPImageProcessor", "image_std": list(data.DEVIATION), "resample": 3,
        "rescale_factor": 1 / 255, "size": {"shortest_edge": 64}})
    write("processor_config.json", {"processor_class": "VARGPTLlavaProcessor", "patch_size": 8,
                                    "vision_feature_select_strategy": "default", "image_token": chat.IMAGE})
    write("chat_template.json", {"chat_template": chat.TEMPLATE})
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write("special_tokens_map.json", special)
    described = json.loads(tokenizer.FILE.read_text())
    write("tokenizer_config.json", {
        "added_tokens_decoder": {str(t["id"]): {k: v for k, v in t.items() if k != "id"}
                                 for t in described["added_tokens"]},
        "clean_up_tokenization_spaces": False, "model_max_length": CONTEXT,
        "tokenizer_class": "PreTrainedTokenizerFast", **special})
    (folder / "tokenizer.json").write_text(tokenizer.FILE.read_text())
    size = (folder / "model.safetensors").stat().st_size
    for file in folder.iterdir():
        file.chmod(0o644)
    print(f"{folder}: {sum(v.numel() for v in tensors.values()) / 1e6:.2f} M values, {size / 1e6:.1f} MB, from {done}")


if __name__ == "__main__":
    from pathlib import Path

    export(Path(sys.argv[1]) if len(sys.argv) > 1 else paths.MODEL)
