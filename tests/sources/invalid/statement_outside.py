return torch.relu(x)
