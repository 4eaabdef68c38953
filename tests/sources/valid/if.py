class If(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes.If,
    x: Tensor,
    limit: int) -> Tensor:
    if torch.gt(limit, 3):
      if torch.gt(limit, 10):
        y0, limit1 = torch.add(x, 1), 10
      else:
        if torch.eq(limit, 5):
          y1 = torch.sub(x, 1)
        else:
          y1 = x
        y0, limit1 = y1, limit
      y, limit0 = y0, limit1
    else:
      y, limit0 = torch.relu(x), limit
    _0 = bool(torch.gt(torch.sum(y), limit0))
    if _0:
      y2 = torch.mul(y, limit0)
    else:
      y2 = y
    return y2
