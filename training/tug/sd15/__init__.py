"""The published LightningDrag layout (Stable Diffusion 1.5 size): read its checkpoint, run it, export it as a bundle.

Built on diffusers' U-Net and autoencoder, which the extra `tug-training[sd15]` installs. No other part of `tug` needs
them.
"""
