"""The multi-scale VQVAE, in the published layout: `vae_local.*` of a checkpoint is this module's state_dict."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class ResBlock(nn.Module):
    def __init__(self, cin, cout, groups):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, cin, eps=1e-6)
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, cout, eps=1e-6)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(cin, cout, 1) if cin != cout else None

    def forward(self, x):
        h = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return h + (x if self.nin_shortcut is None else self.nin_shortcut(x))


class Attention(nn.Module):
    """One head over all positions of a map."""

    def __init__(self, c, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, c, eps=1e-6)
        self.qkv = nn.Conv2d(c, 3 * c, 1)
        self.proj_out = nn.Conv2d(c, c, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, 2)
        o = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + self.proj_out(o.transpose(1, 2).reshape(b, c, h, w))


class Downsample(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class Level(nn.Module):
    """Res-blocks of one resolution, each followed by attention where `attend`."""

    def __init__(self, cin, cout, blocks, attend, groups):
        super().__init__()
        self.block = nn.ModuleList(ResBlock(cin if i == 0 else cout, cout, groups) for i in range(blocks))
        self.attn = nn.ModuleList(Attention(cout, groups) for _ in range(blocks if attend else 0))

    def forward(self, x):
        for i, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        return x


class Middle(nn.Module):
    def __init__(self, c, groups):
        super().__init__()
        self.block_1 = ResBlock(c, c, groups)
        self.attn_1 = Attention(c, groups)
        self.block_2 = ResBlock(c, c, groups)

    def forward(self, x):
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    def __init__(self, ch, multipliers, blocks, z, groups):
        super().__init__()
        self.conv_in = nn.Conv2d(3, ch, 3, padding=1)
        self.down = nn.ModuleList()
        cin, last = ch, len(multipliers) - 1
        for i, m in enumerate(multipliers):
            level = Level(cin, ch * m, blocks, i == last, groups)
            if i < last:
                level.downsample = Downsample(ch * m)
            self.down.append(level)
            cin = ch * m
        self.mid = Middle(cin, groups)
        self.norm_out = nn.GroupNorm(groups, cin, eps=1e-6)
        self.conv_out = nn.Conv2d(cin, z, 3, padding=1)

    def forward(self, x):
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
            if hasattr(level, "downsample"):
                h = level.downsample(h)
        return self.conv_out(F.silu(self.norm_out(self.mid(h))))


class Decoder(nn.Module):
    def __init__(self, ch, multipliers, blocks, z, groups):
        super().__init__()
        last = len(multipliers) - 1
        cin = ch * multipliers[last]
        self.conv_in = nn.Conv2d(z, cin, 3, padding=1)
        self.mid = Middle(cin, groups)
        levels = []
        for i in reversed(range(last + 1)):
            level = Level(cin, ch * multipliers[i], blocks + 1, i == last, groups)
            cin = ch * multipliers[i]
            if i > 0:
                level.upsample = Upsample(cin)
            levels.insert(0, level)
        self.up = nn.ModuleList(levels)
        self.norm_out = nn.GroupNorm(groups, cin, eps=1e-6)
        self.conv_out = nn.Conv2d(cin, 3, 3, padding=1)

    def forward(self, f):
        h = self.mid(self.conv_in(f))
        for level in reversed(self.up):
            h = level(h)
            if hasattr(level, "upsample"):
                h = level.upsample(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class Residuals(nn.Module):
    """The φ convolutions that several scales share."""

    def __init__(self, z, count):
        super().__init__()
        self.qresi_ls = nn.ModuleList(nn.Conv2d(z, z, 3, padding=1) for _ in range(count))


class Quantizer(nn.Module):
    def __init__(self, codes, z, patch_nums, phis):
        super().__init__()
        self.patch_nums = tuple(patch_nums)
        self.embedding = nn.Embedding(codes, z)
        self.quant_resi = Residuals(z, phis)
        scales = len(patch_nums)
        # In double precision and in this order, as numpy's linspace: of ten scales, two lie halfway between
        # ticks, and rounding decides for them as it did where the published weights were trained.
        edge = 1 / 12 if phis == 4 else 1 / (2 * phis)
        step = ((1 - edge) - edge) / max(1, phis - 1)
        ticks = [i * step + edge for i in range(phis)]
        self.phi_of = [min(range(phis), key=lambda j: (abs(ticks[j] - s / max(1, scales - 1)), j))
                       for s in range(scales)]

    def nearest(self, f):
        """Rows (N, z) to code numbers (N), by squared distance."""
        e = self.embedding.weight
        return (e.square().sum(1) - 2 * f @ e.t()).argmin(1)

    def contribution(self, ids, s):
        """What scale s's codes (B, p·p) add to the feature map: (B, z, P, P)."""
        p, side = self.patch_nums[s], self.patch_nums[-1]
        u = self.embedding(ids).view(len(ids), p, p, -1).permute(0, 3, 1, 2)
        if p != side:
            u = F.interpolate(u, size=(side, side), mode="bicubic")
        return 0.5 * u + 0.5 * self.quant_resi.qresi_ls[self.phi_of[s]](u)

    def shrink(self, f, s):
        """A feature map averaged down to scale s's size."""
        p = self.patch_nums[s]
        return f if p == self.patch_nums[-1] else F.interpolate(f, size=(p, p), mode="area")

    def encode(self, f):
        """Feature map (B, z, P, P) to (map of the codes, a list of ids (B, p·p), rows looked up, loss)."""
        rest, total, ids, rows, loss = f.detach(), torch.zeros_like(f), [], [], 0.0
        for s in range(len(self.patch_nums)):
            r = self.shrink(rest, s).permute(0, 2, 3, 1).reshape(-1, f.shape[1])
            k = self.nearest(r).view(len(f), -1)
            u = self.contribution(k, s)
            total = total + u
            rest = rest - u.detach()
            ids.append(k)
            rows.append(r)
            loss = loss + 0.25 * F.mse_loss(f, total.detach()) + F.mse_loss(total, f.detach())
        return total, ids, torch.cat(rows), loss / len(self.patch_nums)


class VAE(nn.Module):
    """Pictures (B, 3, H, W) in −1…1 and codes, scale after scale."""

    def __init__(self, ch=32, multipliers=(1, 1, 2, 4), blocks=1, z=16, codes=1024, groups=8,
                 patch_nums=(1, 2, 3, 4, 6, 8), phis=4):
        super().__init__()
        self.encoder = Encoder(ch, multipliers, blocks, z, groups)
        self.decoder = Decoder(ch, multipliers, blocks, z, groups)
        self.quant_conv = nn.Conv2d(z, z, 3, padding=1)
        self.post_quant_conv = nn.Conv2d(z, z, 3, padding=1)
        self.quantize = Quantizer(codes, z, patch_nums, phis)

    def features(self, x):
        return self.quant_conv(self.encoder(x))

    def picture(self, f):
        return self.decoder(self.post_quant_conv(f))

    def tokens(self, x):
        """Pictures to token ids (B, sum of p²)."""
        return torch.cat(self.quantize.encode(self.features(x))[1], 1)

    def initialise(self):
        """Kaiming normal with gain 1; the last convolution of every residual branch starts at a tenth."""
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, nonlinearity="linear")
                nn.init.zeros_(m.bias)
        with torch.no_grad():
            for m in self.modules():
                if isinstance(m, ResBlock):
                    m.conv2.weight.mul_(0.1)
                elif isinstance(m, Attention):
                    m.proj_out.weight.mul_(0.1)
            for phi in self.quantize.quant_resi.qresi_ls:
                phi.weight.mul_(0.1)
        nn.init.normal_(self.quantize.embedding.weight, std=0.3)
        return self
