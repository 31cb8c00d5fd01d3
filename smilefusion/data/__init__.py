"""Data files of smilefusion: face_geometry.npz, the mean face with its smile and blink."""
