"""The architectures, one LightningModule each."""
