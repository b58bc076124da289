"""The whole model in the published layout: VarGPT's state_dict holds exactly a checkpoint's tensor names."""

import json
import math
from types import SimpleNamespace

import torch
import torch.nn as nn
import torch.nn.functional as F

from .vae import VAE


def attend(q, k, v, mask=None, scale=None):
    """softmax(q·kᵀ·scale)·v; q, k, v (B, heads, N, D), mask broadcast to (B, heads, N, M), true where seen."""
    q, k = q.to(v.dtype), k.to(v.dtype)
    if q.is_cuda or v.dtype == torch.float32:
        return F.scaled_dot_product_attention(q, k, v, mask, scale=scale)
    # Written out: PyTorch's fused attention runs backwards at a third of this speed in bfloat16 on a CPU.
    scores = q * (q.shape[-1] ** -0.5 if scale is None else scale) @ k.transpose(2, 3)
    if mask is not None:
        scores = scores + torch.zeros(mask.shape, dtype=scores.dtype).masked_fill_(~mask, -1e9)
    return scores.softmax(-1) @ v


# ---- eyes: CLIP's vision transformer ----------------------------------------------------------------


class VisionEmbeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(c.hidden_size))
        self.patch_embedding = nn.Conv2d(3, c.hidden_size, c.patch_size, c.patch_size, bias=False)
        self.position_embedding = nn.Embedding((c.image_size // c.patch_size) ** 2 + 1, c.hidden_size)

    def forward(self, x):
        rows = self.patch_embedding(x).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(rows), 1, -1)
        return torch.cat((first, rows), 1) + self.position_embedding.weight


class VisionAttention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(d, d), nn.Linear(d, d)
        self.v_proj, self.out_proj = nn.Linear(d, d), nn.Linear(d, d)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = (p(x).view(b, n, self.heads, -1).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(attend(q, k, v).transpose(1, 2).reshape(b, n, d))


class VisionMlp(nn.Module):
    def __init__(self, d, inner):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, inner), nn.Linear(inner, d)

    def forward(self, x):
        h = self.fc1(x)
        return self.fc2(h * torch.sigmoid(1.702 * h))


class VisionLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(c.hidden_size, eps=1e-5)
        self.self_attn = VisionAttention(c.hidden_size, c.num_attention_heads)
        self.layer_norm2 = nn.LayerNorm(c.hidden_size, eps=1e-5)
        self.mlp = VisionMlp(c.hidden_size, c.intermediate_size)

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class VisionModel(nn.Module):
    """CLIP's tower; its last layer and post_layernorm are in the layout but never used."""

    def __init__(self, c):
        super().__init__()
        self.embeddings = VisionEmbeddings(c)
        self.pre_layrnorm = nn.LayerNorm(c.hidden_size, eps=1e-5)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(VisionLayer(c) for _ in range(c.num_hidden_layers))
        self.post_layernorm = nn.LayerNorm(c.hidden_size, eps=1e-5)

    def forward(self, x):
        """Normalised pixels (B, 3, S, S) to the last hidden state but one, (B, 1 + patches, width)."""
        x = self.pre_layrnorm(self.embeddings(x))
        for layer in self.encoder.layers[:-1]:
            x = layer(x)
        return x


# ---- language: LLaMA ---------------------------------------------------------------------------------


class RmsNorm(nn.Module):
    def __init__(self, d, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(d)), eps

    def forward(self, x):
        return F.rms_norm(x.float(), x.shape[-1:], self.weight, self.eps)


class LlamaAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, self.heads, self.kv = c.hidden_size, c.num_attention_heads, c.num_key_value_heads
        self.head_dim = d // self.heads
        self.q_proj = nn.Linear(d, self.heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(d, self.kv * self.head_dim, bias=False)
        self.v_proj = nn.Linear(d, self.kv * self.head_dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head_dim, d, bias=False)
        self.keeps, self.kept = False, None     # whether forward leaves its queries and keys in `kept`

    def forward(self, x, rotation, mask, cache):
        b, n, _ = x.shape
        q = self.q_proj(x).view(b, n, self.heads, -1).transpose(1, 2)
        k = self.k_proj(x).view(b, n, self.kv, -1).transpose(1, 2)
        v = self.v_proj(x).view(b, n, self.kv, -1).transpose(1, 2)
        q, k = rotate(q, *rotation), rotate(k, *rotation)
        if self.keeps:
            self.kept = q, k
        if cache is not None:
            k, v = cache.add(k, v)
        if self.kv != self.heads:
            k, v = (t.repeat_interleave(self.heads // self.kv, 1) for t in (k, v))
        o = attend(q, k, v, mask)
        return self.o_proj(o.transpose(1, 2).reshape(b, n, -1))


class LlamaMlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class LlamaLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = RmsNorm(c.hidden_size, c.rms_norm_eps)
        self.self_attn = LlamaAttention(c)
        self.post_attention_layernorm = RmsNorm(c.hidden_size, c.rms_norm_eps)
        self.mlp = LlamaMlp(c)

    def forward(self, x, rotation, mask, cache):
        x = x + self.self_attn(self.input_layernorm(x), rotation, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


def rotate(x, cos, sin):
    """Rotary embedding on half-split pairs; x (B, heads, N, D), cos and sin (B or 1, 1, N, D/2)."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class Cache:
    """Keys and values of one attention layer."""

    def __init__(self):
        self.k = self.v = None

    def add(self, k, v):
        if self.k is not None:
            k, v = torch.cat((self.k, k), 2), torch.cat((self.v, v), 2)
        self.k, self.v = k, v
        return k, v


class Llama(nn.Module):
    """language_model: with lm_head beside `model`."""

    def __init__(self, c):
        super().__init__()
        self.theta, self.head_dim = c.rope_theta, c.hidden_size // c.num_attention_heads
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size)
        self.model.layers = nn.ModuleList(LlamaLayer(c) for _ in range(c.num_hidden_layers))
        self.model.norm = RmsNorm(c.hidden_size, c.rms_norm_eps)
        self.lm_head = nn.Linear(c.hidden_size, c.vocab_size, bias=False)

    def forward(self, x, caches=None, valid=None):
        """Embeddings (B, N, H) to final hidden rows. With `caches` (a list, one a layer) the rows follow
        what is cached. `valid` (B, all positions so far) marks rows that are not left padding."""
        n, device = x.shape[1], x.device
        past = caches[0].k.shape[2] if caches is not None and caches[0].k is not None else 0
        causal = torch.ones(n, past + n, dtype=torch.bool, device=device).tril(past)
        if valid is None:
            positions = torch.arange(past, past + n, device=device)[None]
            mask = causal
        else:
            positions = (valid.long().cumsum(1) - 1).clamp(min=0)[:, past:]
            itself = torch.ones_like(causal).tril(past).triu(past)     # so that no row is without any key
            mask = (causal & valid[:, None] | itself)[:, None]
        frequency = self.theta ** (-torch.arange(0, self.head_dim, 2, device=device).float() / self.head_dim)
        angle = positions[:, None, :, None].float() * frequency
        rotation = (angle.cos(), angle.sin())
        for i, layer in enumerate(self.model.layers):
            x = layer(x, rotation, mask, None if caches is None else caches[i])
        return self.model.norm(x)


# ---- the image decoder: VAR with AdaLN ------------------------------------------------------------------


class VarAttention(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads = heads
        self.mat_qkv = nn.Linear(c, 3 * c, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(c)), nn.Parameter(torch.zeros(c))
        self.register_buffer("zero_k_bias", torch.zeros(c))
        self.scale_mul_1H11 = nn.Parameter(torch.full((1, heads, 1, 1), math.log(4.0)))
        self.proj = nn.Linear(c, c)

    def forward(self, x, mask, cache):
        b, n, c = x.shape
        qkv = F.linear(x, self.mat_qkv.weight, torch.cat((self.q_bias, self.zero_k_bias, self.v_bias)))
        q, k, v = qkv.view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q = F.normalize(q, dim=-1) * self.scale_mul_1H11.clamp(max=math.log(100)).exp()
        k = F.normalize(k, dim=-1)
        if cache is not None:
            k, v = cache.add(k, v)
        o = attend(q, k, v, mask, 1.0)
        return self.proj(o.transpose(1, 2).reshape(b, n, c))


class VarFfn(nn.Module):
    def __init__(self, c, ratio):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(c, ratio * c), nn.Linear(ratio * c, c)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class VarBlock(nn.Module):
    def __init__(self, c, heads, ratio=4):
        super().__init__()
        self.attn, self.ffn = VarAttention(c, heads), VarFfn(c, ratio)
        self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(c, 6 * c))

    def forward(self, x, cond, mask=None, cache=None):
        g1, g2, s1, s2, b1, b2 = self.ada_lin(cond).float().chunk(6, -1)
        d = x.shape[-1:]
        x = x + g1 * self.attn(F.layer_norm(x, d, eps=1e-6) * (1 + s1) + b1, mask, cache)
        return x + g2 * self.ffn(F.layer_norm(x, d, eps=1e-6) * (1 + s2) + b2)


class Head(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(c, 2 * c))

    def forward(self, x, cond):
        s, b = self.ada_lin(cond).float().chunk(2, -1)
        return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + s) + b


class Var(nn.Module):
    """vargpt_gen: next-scale prediction, conditioned on one constant vector."""

    def __init__(self, c, heads, depth, codes, z, patch_nums, classes):
        super().__init__()
        self.patch_nums = tuple(patch_nums)
        total = sum(p * p for p in patch_nums)
        self.word_embed = nn.Linear(z, c)
        self.class_emb = nn.Embedding(classes, c)
        self.pos_start = nn.Parameter(torch.zeros(1, 1, c))
        self.pos_1LC = nn.Parameter(torch.zeros(1, total, c))
        self.lvl_embed = nn.Embedding(len(patch_nums), c)
        self.blocks = nn.ModuleList(VarBlock(c, heads) for _ in range(depth))
        self.head_nm = Head(c)
        self.head = nn.Linear(c, codes)
        scale_of = torch.cat([torch.full((p * p,), s) for s, p in enumerate(patch_nums)])
        self.register_buffer("lvl_1L", scale_of[None])
        self.register_buffer("mask", scale_of[:, None] >= scale_of[None], persistent=False)

    @property
    def cond(self):
        return self.class_emb.weight[-1]

    def inputs(self, maps, first, last):
        """Input rows of positions first…last−1 from map rows (B, last − first, z); position 0's is ignored."""
        place = self.lvl_embed(self.lvl_1L[0, first:last]) + self.pos_1LC[0, first:last]
        rows = self.word_embed(maps)
        if first == 0:
            start = (self.cond + self.pos_start[0]).expand(len(maps), 1, -1)
            rows = torch.cat((start.to(rows.dtype), rows[:, 1:]), 1)
        return rows + place

    def forward(self, x, mask=None, caches=None):
        cond = self.cond
        for i, block in enumerate(self.blocks):
            x = block(x, cond, mask, None if caches is None else caches[i])
        return self.head(self.head_nm(x, cond))


# ---- the whole ----------------------------------------------------------------------------------------


class Projector(nn.Module):
    """multi_modal_projector."""

    def __init__(self, cin, h):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(cin, h), nn.Linear(h, h)

    def forward(self, x):
        return self.linear_2(F.gelu(self.linear_1(x)))


class GenProjector(nn.Module):
    """image_gen_projector and image_gen_projector_out; ln_q is in the layout but never applied."""

    def __init__(self, cin, cout):
        super().__init__()
        self.ln_q = nn.LayerNorm(cin)
        self.mlp = nn.Sequential(nn.Linear(cin, cin), nn.GELU(), nn.Linear(cin, cout))

    def forward(self, x):
        return self.mlp(x)


class VarGPT(nn.Module):
    """`config` is the parsed config.json; `sizes` what the published loader reads from tensor shapes:
    depth, width, var_heads, codes, z, vae_width, vae_multipliers, vae_blocks, phis, classes."""

    def __init__(self, config, sizes):
        super().__init__()
        text, vision = SimpleNamespace(**config["text_config"]), SimpleNamespace(**config["vision_config"])
        patch_nums = config.get("var_patch_nums", (1, 2, 3, 4, 5, 6, 8, 10, 13, 16))
        h = text.hidden_size
        self.config, self.text = config, text
        self.vision_tower = nn.Module()
        self.vision_tower.vision_model = VisionModel(vision)
        self.multi_modal_projector = Projector(vision.hidden_size, h)
        self.language_model = Llama(text)
        self.image_gen_projector = GenProjector(sizes["width"], h)
        self.image_gen_projector_out = GenProjector(h, sizes["width"])
        self.vargpt_gen = Var(sizes["width"], sizes["var_heads"], sizes["depth"], sizes["codes"], sizes["z"],
                              patch_nums, sizes["classes"])
        self.vae_local = VAE(sizes["vae_width"], sizes["vae_multipliers"], sizes["vae_blocks"], sizes["z"],
                             sizes["codes"], config.get("vae_norm_groups", 32), patch_nums, sizes["phis"])

    def look(self, pixels):
        """Normalised pixels to LLM rows, the class row dropped."""
        return self.multi_modal_projector(self.vision_tower.vision_model(pixels)[:, 1:])

    def embed(self, ids):
        return self.language_model.model.embed_tokens(ids)

    def new_caches(self):
        return [Cache() for _ in self.language_model.model.layers], [Cache() for _ in self.vargpt_gen.blocks]

    @torch.no_grad()
    def map_rows(self, tokens):
        """Teacher-forced map rows (B, all positions, z) from tokens (B, all positions)."""
        quantize, f, at = self.vae_local.quantize, 0.0, 0
        rows = [quantize.embedding.weight.new_zeros(len(tokens), 1, quantize.embedding.embedding_dim)]
        for s, p in enumerate(quantize.patch_nums[:-1]):
            f = f + quantize.contribution(tokens[:, at:at + p * p], s)
            at += p * p
            rows.append(quantize.shrink(f, s + 1).flatten(2).transpose(1, 2))
        return torch.cat(rows, 1)

    @torch.no_grad()
    def draw(self, prompt, valid=None, cfg=1.5, top_k=900, top_p=0.96, temperature=1.0, generator=None,
             noise=None, trace=None):
        """Draws after prompt embeddings (B, N, H) that end with the image-start token's row. `noise`
        (positions, H), where given, is every picture's guidance noise; top_k 0 draws the largest logit.
        Returns tokens (B, positions) and the feature map."""
        quantize, var = self.vae_local.quantize, self.vargpt_gen
        b, scales, side = len(prompt), len(quantize.patch_nums), quantize.patch_nums[-1]
        caches, var_caches = self.new_caches()
        self.language_model(prompt, caches, valid)
        f, at, out = prompt.new_zeros(b, quantize.embedding.embedding_dim, side, side), 0, []
        rows = f.new_zeros(b, 1, f.shape[1])
        for s, p in enumerate(quantize.patch_nums):
            n = p * p
            if valid is not None:
                valid = torch.cat((valid, valid.new_ones(b, n)), 1)
            rows = self.image_gen_projector(var.inputs(rows, at, at + n))
            hidden = self.language_model(rows, caches, valid)
            blind = (torch.randn(hidden.shape, generator=generator, device=hidden.device) if noise is None
                     else noise[at:at + n].expand_as(hidden))
            logits = var(self.image_gen_projector_out(torch.cat((hidden, blind))), None, var_caches).float()
            seen, unseen = logits.chunk(2)
            t = cfg * s / (scales - 1)
            guided = (1 + t) * seen - t * unseen
            ids = guided.argmax(-1) if top_k == 0 else sample(guided / temperature, top_k, top_p, generator)
            if trace is not None:
                trace.append({"hidden": hidden, "cond": seen, "uncond": unseen})
            f = f + quantize.contribution(ids, s)
            at += n
            out.append(ids)
            if s + 1 < scales:
                rows = quantize.shrink(f, s + 1).flatten(2).transpose(1, 2)
        return torch.cat(out, 1), f

    @torch.no_grad()
    def see(self, f):
        """A feature map to a picture in −1…1."""
        return self.vae_local.picture(f).clamp(-1, 1)


def sample(logits, top_k, top_p, generator):
    """Draws one id a row: the top_k largest logits, less the tail whose ascending mass is at most 1 − top_p."""
    smallest = logits.topk(min(top_k, logits.shape[-1]), -1)[0][..., -1:]
    logits = logits.masked_fill(logits < smallest, -math.inf)
    ordered, index = logits.softmax(-1).sort(-1)
    drop = ordered.cumsum(-1) <= 1 - top_p
    drop[..., -1] = False
    weights = torch.zeros_like(ordered).scatter(-1, index, ordered.masked_fill(drop, 0))
    return torch.multinomial(weights.flatten(0, -2), 1, generator=generator).view(logits.shape[:-1])


def sizes_of(tensors):
    """The sizes VarGPT needs, from a checkpoint's tensors."""
    def count(prefix):
        return len({k[len(prefix):].split(".")[0] for k in tensors if k.startswith(prefix)})

    levels = count("vae_local.encoder.down.")
    width = tensors["vae_local.encoder.conv_in.weight"].shape[0]
    norms = [tensors[f"vae_local.encoder.down.{i}.block.0.conv1.weight"].shape[0] for i in range(levels)]
    return {"depth": count("vargpt_gen.blocks."),
            "width": tensors["vargpt_gen.word_embed.weight"].shape[0],
            "var_heads": tensors["vargpt_gen.blocks.0.attn.scale_mul_1H11"].shape[1],
            "codes": tensors["vae_local.quantize.embedding.weight"].shape[0],
            "z": tensors["vae_local.quantize.embedding.weight"].shape[1],
            "vae_width": width, "vae_multipliers": [n // width for n in norms],
            "vae_blocks": count("vae_local.encoder.down.0.block."),
            "phis": count("vae_local.quantize.quant_resi.qresi_ls."),
            "classes": tensors["vargpt_gen.class_emb.weight"].shape[0]}


def load(folder):
    """A checkpoint folder as a float32 VarGPT. Tensors that inference never reads may be absent."""
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(file))
    for key, value in {"num_key_value_heads": config["text_config"].get("num_attention_heads"),
                       "rope_theta": 10000.0}.items():
        config["text_config"].setdefault(key, value)
    model = VarGPT(config, sizes_of(tensors))
    own = model.state_dict()
    known = {k: v.to(own[k].dtype) for k, v in tensors.items() if k in own}
    ignored = set(tensors) - set(known)
    missing = set(own) - set(known)
    assert ignored <= {"vae_local.quantize.ema_vocab_hit_SV", "vargpt_gen.attn_bias_for_masking"}, ignored
    assert not missing, missing
    model.load_state_dict(known)
    return model.eval()
