class Types(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
  def forward(self: __torch__.themes_data.Types,
    x: Any,
    y: Union[Tensor, List[str], int],
    flag: bool) -> Union[float, int]:
    _0 = isinstance(y, int)
    if _0:
      y0 = unchecked_cast(int, y)
      _1 : Union[float, int] = torch.add(y0, 1)
    else:
      y1 = unchecked_cast(Union[Tensor, List[str]], y)
      _2 = isinstance(y1, Tensor)
      if _2:
        y2 = unchecked_cast(Tensor, y1)
        _3 : Union[float, int] = torch.mul(torch.dim(y2), 1.)
      else:
        _4 = isinstance(x, int)
        if _4:
          _5 = unchecked_cast(int, x)
        else:
          x0 = unchecked_cast(Any, x)
          _6 = isinstance(x0, (float, str))
          if _6:
            _7 = 2
          else:
            x1 = unchecked_cast(Any, x0)
            if flag:
              z = x1
            else:
              z = unchecked_cast(Any, 3)
            _8 = isinstance(z, list)
            if _8:
              _9 = 3
            else:
              _9 = 4
            _7 = _9
          _5 = _7
        _3 = _5
      _1 = _3
    return _1
