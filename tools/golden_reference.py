"""What a checkpoint computes, written from docs/model.md alone: plain functions over a dictionary `w` of float32 tensors
with the published names and the parsed config.json. tools/make-golden makes golden sets of it."""

import math

import numpy as np
import torch
import torch.nn.functional as F

PUBLISHED_SCALES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
ACTIVATIONS = {
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


def affine(w, name, x):
    return F.linear(x, w[name + ".weight"], w.get(name + ".bias"))


def norm(w, name, x, eps):
    return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], eps)


def heads_of(x, n):
    return x.view(len(x), n, -1).transpose(0, 1)


def attend(q, k, v, scale, mask=None):
    """q, k, v (heads, N, D) -> (N, heads * D)"""
    scores = q @ k.transpose(1, 2) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


# ---- eyes ----


def vision_features(w, config, pixels):
    """(3, S, S) -> the selected hidden state, without its class row where the strategy is "default"."""
    c, at = config["vision_config"], "vision_tower.vision_model."
    n, eps, act = c["num_hidden_layers"], c.get("layer_norm_eps", 1e-5), ACTIVATIONS[c.get("hidden_act", "quick_gelu")]
    rows = F.conv2d(pixels[None], w[at + "embeddings.patch_embedding.weight"], stride=c["patch_size"])[0].flatten(1).T
    x = torch.cat((w[at + "embeddings.class_embedding"][None], rows)) + w[at + "embeddings.position_embedding.weight"]
    states = [norm(w, at + "pre_layrnorm", x, eps)]
    for i in range(n):
        layer, x = f"{at}encoder.layers.{i}.", states[-1]
        h = norm(w, layer + "layer_norm1", x, eps)
        q, k, v = (heads_of(affine(w, f"{layer}self_attn.{p}_proj", h), c["num_attention_heads"]) for p in "qkv")
        x = x + affine(w, layer + "self_attn.out_proj", attend(q, k, v, q.shape[-1] ** -0.5))
        h = norm(w, layer + "layer_norm2", x, eps)
        states.append(x + affine(w, layer + "mlp.fc2", act(affine(w, layer + "mlp.fc1", h))))
    chosen = states[config.get("vision_feature_layer", -2)]
    return chosen if config.get("vision_feature_select_strategy") == "full" else chosen[1:]


def project(w, config, features):
    act = ACTIVATIONS[config.get("projector_hidden_act", "gelu")]
    return affine(w, "multi_modal_projector.linear_2", act(affine(w, "multi_modal_projector.linear_1", features)))


# ---- language ----


def head_dim_of(c):
    return c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]


def frequencies(c):
    dim, rope = head_dim_of(c), c.get("rope_scaling") or c.get("rope_parameters") or {}
    theta = rope.get("rope_theta", c.get("rope_theta", 10000.0))
    f = 1.0 / theta ** (torch.arange(0, dim, 2).float() / dim)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "linear":
        return f / rope["factor"]
    if kind == "llama3":
        low, high, original = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
        wave = 2 * math.pi / f
        smooth = (original / wave - low) / (high - low)
        between = (1 - smooth) * f / rope["factor"] + smooth * f
        f = torch.where(wave > original / low, f / rope["factor"], torch.where(wave < original / high, f, between))
    return f


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def llm(w, c, x, cache):
    """Rows (N, H) after those in `cache` (a list, one dictionary a layer) -> rows after the last norm."""
    q_heads, kv_heads, eps = c["num_attention_heads"], c["num_key_value_heads"], c["rms_norm_eps"]
    past = cache[0]["k"].shape[1] if cache[0] else 0
    angle = torch.arange(past, past + len(x)).float()[:, None] * frequencies(c)
    mask = torch.ones(len(x), past + len(x), dtype=torch.bool).tril(past)
    for i, held in enumerate(cache):
        at = f"language_model.model.layers.{i}."
        h = rms_norm(x, w[at + "input_layernorm.weight"], eps)
        q, k, v = (heads_of(affine(w, f"{at}self_attn.{p}_proj", h), n)
                   for p, n in (("q", q_heads), ("k", kv_heads), ("v", kv_heads)))
        q, k = rotate(q, angle.cos(), angle.sin()), rotate(k, angle.cos(), angle.sin())
        if held:
            k, v = torch.cat((held["k"], k), 1), torch.cat((held["v"], v), 1)
        held.update(k=k, v=v)
        k, v = (t.repeat_interleave(q_heads // kv_heads, 0) for t in (k, v))
        x = x + affine(w, at + "self_attn.o_proj", attend(q, k, v, q.shape[-1] ** -0.5, mask))
        h = rms_norm(x, w[at + "post_attention_layernorm.weight"], eps)
        x = x + affine(w, at + "mlp.down_proj", F.silu(affine(w, at + "mlp.gate_proj", h)) * affine(w, at + "mlp.up_proj", h))
    return rms_norm(x, w["language_model.model.norm.weight"], eps)


def new_cache(n):
    return [{} for _ in range(n)]


def text_logits(w, c, hidden):
    tied = c.get("tie_word_embeddings", False)
    return hidden @ w["language_model.model.embed_tokens.weight" if tied else "language_model.lm_head.weight"].T


def prompt_rows(w, config, ids, pictures):
    """Embeddings of ids, those of the image token replaced by the projected features of the pictures."""
    rows = w["language_model.model.embed_tokens.weight"][ids]
    if pictures:
        found = [project(w, config, vision_features(w, config, p)) for p in pictures]
        rows[ids == config["image_token_index"]] = torch.cat(found)
    return rows


# ---- the image decoder ----


def cond_of(w, config):
    return w["vargpt_gen.class_emb.weight"][config["special_tokens"]["image_gen_start_token_id"] + 1]


def modulation(w, name, cond):
    return affine(w, name + ".ada_lin.1", F.silu(cond))


def var_depth(w):
    return len({k.split(".")[2] for k in w if k.startswith("vargpt_gen.blocks.")})


def bare_norm(x):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def var_decode(w, cond, hidden, cache):
    """LLM-width rows of one branch -> logits of codes."""
    h = affine(w, "image_gen_projector_out.mlp.0", hidden)
    x = affine(w, "image_gen_projector_out.mlp.2", F.gelu(h))
    for i, held in enumerate(cache):
        at = f"vargpt_gen.blocks.{i}"
        g1, g2, s1, s2, b1, b2 = modulation(w, at, cond).chunk(6)
        scale = w[at + ".attn.scale_mul_1H11"].clamp(max=math.log(100)).exp()[0]
        bias = torch.cat((w[at + ".attn.q_bias"], torch.zeros_like(w[at + ".attn.q_bias"]), w[at + ".attn.v_bias"]))
        qkv = F.linear(bare_norm(x) * (1 + s1) + b1, w[at + ".attn.mat_qkv.weight"], bias).chunk(3, -1)
        q, k, v = (heads_of(t, len(scale)) for t in qkv)
        q, k = F.normalize(q, dim=-1, eps=1e-12) * scale, F.normalize(k, dim=-1, eps=1e-12)
        if held:
            k, v = torch.cat((held["k"], k), 1), torch.cat((held["v"], v), 1)
        held.update(k=k, v=v)
        x = x + g1 * affine(w, at + ".attn.proj", attend(q, k, v, 1.0))
        h = affine(w, at + ".ffn.fc1", bare_norm(x) * (1 + s2) + b2)
        x = x + g2 * affine(w, at + ".ffn.fc2", F.gelu(h, approximate="tanh"))
    s, b = modulation(w, "vargpt_gen.head_nm", cond).chunk(2)
    return affine(w, "vargpt_gen.head", bare_norm(x) * (1 + s) + b)


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return [(x + 0.5) / 2**32 for x in c]


def noise(seed, first, rows, width, ordinal):
    out = np.empty((rows, (width + 3) // 4 * 4), np.float32)
    for j in range(rows):
        for i in range(out.shape[1] // 4):
            u = philox((i, first + j, 1, ordinal), (seed & 0xFFFFFFFF, seed >> 32))
            for pair in (0, 2):
                r, a = math.sqrt(-2 * math.log(u[pair])), 2 * math.pi * u[pair + 1]
                out[j, 4 * i + pair : 4 * i + pair + 2] = r * math.cos(a), r * math.sin(a)
    return torch.from_numpy(np.ascontiguousarray(out[:, :width]))


def sample_row(logits, top_k, top_p, u):
    """The drawn id, and how close the draw or a filter came to another decision."""
    keep, margin = torch.ones(len(logits), dtype=torch.bool), 1.0
    if 0 < top_k < len(logits):
        ordered = logits.sort(descending=True)[0]
        keep, margin = logits >= ordered[top_k - 1], (ordered[top_k - 1] - ordered[top_k]).item()
    p = logits.double().masked_fill(~keep, -math.inf).softmax(-1)
    if 0 < top_p < 1:
        ordered, index = p.sort(stable=True)
        mass = ordered.cumsum(-1)
        drop = mass <= 1 - top_p
        drop[-1] = False
        margin = min(margin, (mass[keep.logical_not().sum():-1] - (1 - top_p)).abs().min().item()) if keep.sum() > 1 else margin
        p = p.index_fill(0, index[drop], 0)
    c = p.cumsum(-1)
    chosen = int((c > u * c[-1]).nonzero()[0])
    edges = c[p > 0][:-1] / c[-1]
    return chosen, min(margin, (edges - u).abs().min().item() if len(edges) else 1.0)


def draw(w, config, prompt, case):
    """Draws as a golden case says, after prompt rows that end in the image-start token's. Returns what happened."""
    text, scales = config["text_config"], config.get("var_patch_nums", PUBLISHED_SCALES)
    cond, side = cond_of(w, config), scales[-1]
    cache, branch = new_cache(text["num_hidden_layers"]), [new_cache(var_depth(w)) for _ in range(2)]
    llm(w, text, prompt, cache)
    f = torch.zeros(w["vae_local.quantize.embedding.weight"].shape[1], side, side)
    seed, ordinal, at, margin, trace, tokens = case.get("seed", 0), case.get("image", 0), 0, math.inf, [], []
    for s, p in enumerate(scales):
        place = w["vargpt_gen.lvl_embed.weight"][s] + w["vargpt_gen.pos_1LC"][0, at : at + p * p]
        if s == 0:
            rows = (cond + w["vargpt_gen.pos_start"][0] + place)
        else:
            rows = affine(w, "vargpt_gen.word_embed", shrink(f, p).flatten(1).T) + place
        rows = affine(w, "image_gen_projector.mlp.2", F.gelu(affine(w, "image_gen_projector.mlp.0", rows)))
        hidden = llm(w, text, rows, cache)
        seen = var_decode(w, cond, hidden, branch[0])
        unseen = var_decode(w, cond, noise(seed, at, p * p, text["hidden_size"], ordinal), branch[1])
        t = case["cfg"] * s / (len(scales) - 1) if len(scales) > 1 else 0
        guided = (1 + t) * seen - t * unseen
        if case["mode"] == "argmax":
            top = guided.topk(2, -1)
            ids, margin = top[1][:, 0], min(margin, (top[0][:, 0] - top[0][:, 1]).min().item())
        else:
            ids = torch.empty(p * p, dtype=torch.long)
            for i in range(p * p):
                u = philox((0, at + i, 2, ordinal), (seed & 0xFFFFFFFF, seed >> 32))[0]
                ids[i], m = sample_row(guided[i], case["top_k"], case["top_p"], u)
                margin = min(margin, m)
        f = f + contribution(w, scales, ids, s)
        trace.append({"hidden": hidden, "cond_logits": seen, "uncond_logits": unseen, "f_hat": f})
        tokens.append(ids)
        at += p * p
    return torch.cat(tokens), f, trace, margin


# ---- VQVAE ----


def conv(w, name, x, padding=1, stride=1):
    weight = w[name + ".weight"]
    return F.conv2d(x[None], weight, w[name + ".bias"], stride, padding if weight.shape[-1] == 3 else 0)[0]


def group_norm(w, config, name, x):
    groups = config.get("vae_norm_groups", 32)
    return F.group_norm(x[None], groups, w[name + ".weight"], w[name + ".bias"], 1e-6)[0]


def shrink(f, p):
    return F.adaptive_avg_pool2d(f[None], p)[0]


def contribution(w, scales, ids, s):
    p, side = scales[s], scales[-1]
    k = len({n.split(".")[4] for n in w if n.startswith("vae_local.quantize.quant_resi.qresi_ls.")})
    ticks = np.linspace(1 / 3 / k, 1 - 1 / 3 / k, k) if k == 4 else np.linspace(1 / 2 / k, 1 - 1 / 2 / k, k)
    j = np.argmin(np.abs(ticks - (s / (len(scales) - 1) if len(scales) > 1 else 0)))
    u = w["vae_local.quantize.embedding.weight"][ids].T.reshape(-1, p, p)
    if s + 1 < len(scales):
        u = F.interpolate(u[None], size=(side, side), mode="bicubic")[0]
    return 0.5 * u + 0.5 * conv(w, f"vae_local.quantize.quant_resi.qresi_ls.{j}", u)


def res_block(w, config, name, x):
    h = conv(w, name + ".conv1", F.silu(group_norm(w, config, name + ".norm1", x)))
    h = conv(w, name + ".conv2", F.silu(group_norm(w, config, name + ".norm2", h)))
    return h + (conv(w, name + ".nin_shortcut", x) if name + ".nin_shortcut.weight" in w else x)


def vae_attention(w, config, name, x):
    q, k, v = conv(w, name + ".qkv", group_norm(w, config, name + ".norm", x)).flatten(1).T.chunk(3, -1)
    o = attend(q[None], k[None], v[None], len(x) ** -0.5)
    return x + conv(w, name + ".proj_out", o.T.reshape(x.shape))


def vae_level(w, config, name, x):
    i = 0
    while f"{name}.block.{i}.conv1.weight" in w:
        x = res_block(w, config, f"{name}.block.{i}", x)
        if f"{name}.attn.{i}.qkv.weight" in w:
            x = vae_attention(w, config, f"{name}.attn.{i}", x)
        i += 1
    return x


def vae_middle(w, config, name, x):
    x = res_block(w, config, name + ".mid.block_1", x)
    return res_block(w, config, name + ".mid.block_2", vae_attention(w, config, name + ".mid.attn_1", x))


def levels_of(w, name):
    return range(len({k[len(name):].split(".")[0] for k in w if k.startswith(name)}))


def decode(w, config, f):
    """A feature map (Cvae, P, P) -> a picture (3, S, S) in 0..1."""
    at = "vae_local.decoder"
    x = vae_middle(w, config, at, conv(w, at + ".conv_in", conv(w, "vae_local.post_quant_conv", f)))
    for i in reversed(levels_of(w, at + ".up.")):
        x = vae_level(w, config, f"{at}.up.{i}", x)
        if f"{at}.up.{i}.upsample.conv.weight" in w:
            x = conv(w, f"{at}.up.{i}.upsample.conv", F.interpolate(x[None], scale_factor=2, mode="nearest")[0])
    x = conv(w, at + ".conv_out", F.silu(group_norm(w, config, at + ".norm_out", x)))
    return (x.clamp(-1, 1) + 1) / 2


def encode(w, config, picture):
    """A picture (3, S, S) in -1..1 -> (feature map, tokens, how close the closest choice was)."""
    at, scales = "vae_local.encoder", config.get("var_patch_nums", PUBLISHED_SCALES)
    x = conv(w, at + ".conv_in", picture)
    for i in levels_of(w, at + ".down."):
        x = vae_level(w, config, f"{at}.down.{i}", x)
        if f"{at}.down.{i}.downsample.conv.weight" in w:
            x = conv(w, f"{at}.down.{i}.downsample.conv", F.pad(x, (0, 1, 0, 1)), padding=0, stride=2)
    x = conv(w, at + ".conv_out", F.silu(group_norm(w, config, at + ".norm_out", vae_middle(w, config, at, x))))
    f = conv(w, "vae_local.quant_conv", x)
    rest, tokens, margin, book = f, [], math.inf, w["vae_local.quantize.embedding.weight"]
    for s, p in enumerate(scales):
        small = shrink(rest, p) if s + 1 < len(scales) else rest
        distance = torch.cdist(small.flatten(1).T.double(), book.double()).square().topk(2, largest=False)
        margin = min(margin, (distance[0][:, 1] - distance[0][:, 0]).min().item())
        tokens.append(distance[1][:, 0])
        rest = rest - contribution(w, scales, tokens[-1], s)
    return f, torch.cat(tokens), margin
