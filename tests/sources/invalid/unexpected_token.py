class Net(Module):
  __parameters__ = []
  training : bool
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    y = torch.add(x, , 1)
    return y
