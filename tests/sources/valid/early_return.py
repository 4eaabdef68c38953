class EarlyReturn(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes.EarlyReturn,
    x: Tensor) -> Tensor:
    _0 = uninitialized(Tensor)
    if torch.eq(torch.dim(x), 2):
      _1 = x
    else:
      _2 = torch.size(x, 0)
      _3 = False
      _4 = _0
      x0 = x
      _5 = 0
      _6 = torch.gt(_2, 0)
      while _6:
        if torch.gt(_5, 4):
          _7, _8, _9, _10 = False, True, torch.select(x0, 0, _5), _0
        else:
          if torch.eq(_5, 2):
            _11 = x0
          else:
            _11 = torch.add(x0, _5)
          _7, _8, _9, _10 = True, False, _0, _11
        _12 = torch.add(_5, 1)
        _13 = torch.__and__(torch.lt(_12, _2), _7)
        _6, _3, _4, x0, _5 = _13, _8, _9, _10, _12
      if _3:
        _14 = _4
      else:
        if torch.eq(torch.numel(x0), 0):
          _15 = torch.relu(x0)
        else:
          _15 = torch.sigmoid(x0)
        _14 = _15
      _1 = _14
    return _1
