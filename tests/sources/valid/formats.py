class Formats(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.Formats,
    x: Tensor,
    n: int,
    rate: float) -> str:
    a = torch.format("n={}, rate={}, shape={}", n, rate, torch.size(x))
    b = torch.format("{} of {}", n, rate)
    c = torch.percentFormat("%d items at %s", (n, rate))
    d = torch.percentFormat("one %s", n)
    print(torch.format("{}: {}", a, x))
    _0 = torch.add(torch.add(torch.add(a, b), c), d)
    return torch.add(_0, str(n))
