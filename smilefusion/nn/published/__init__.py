"""The published network: CurveNet per frame, and its state dicts."""
