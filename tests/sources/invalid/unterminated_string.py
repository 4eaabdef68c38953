class Net(Module):
  __parameters__ = []
  training : bool
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    y = torch.format("no end, x)
    return y
