"""Train the encoders that `weights="simulated"` loads, and write them into the package.

Run ``python tools/train_encoders.py``; it takes about half an hour on one core. The encoders learn
to reconstruct simulated smiles from widely varying recordings, without labels. The script writes
one file for each number of landmarks and dimensions.
"""

from pathlib import Path

from safetensors.torch import save_file
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import OneCycleLR

import smilefusion
from smilefusion import DeepFeatureExtractor
from smilefusion.clips import check_clips
from smilefusion.datasets import make_varied_smiles
from smilefusion.estimators._encoders import SIMULATED_SCALING
from smilefusion.landmarks import IBUG_68, MEDIAPIPE_478

N_CLIPS, N_EPOCHS, BATCH_SIZE, SEED = 1500, 40, 64, 20261130


def train(clips):
    """Train an encoder to reconstruct the clips; return its state dict."""
    n_steps = N_EPOCHS * -(-2 * len(clips) // BATCH_SIZE)  # each clip and a changed copy
    schedule = LRScheduler(OneCycleLR, max_lr=2e-3, total_steps=n_steps, step_every="batch")
    extractor = DeepFeatureExtractor(
        objective="reconstruction",
        scaling=SIMULATED_SCALING,
        batch_size=BATCH_SIZE,
        max_epochs=N_EPOCHS,
        patience=None,
        random_state=SEED,
        net_params={"callbacks": [schedule]},
    )
    extractor.fit(clips)
    print(extractor.history_["train_loss"].iloc[[0, -1]].round(4).tolist(), flush=True)
    return extractor.net_.module_.encoder.state_dict()


def main():
    folder = Path(smilefusion.__file__).parent / "data"
    data = make_varied_smiles(N_CLIPS, n_subjects=N_CLIPS // 4, random_state=SEED)
    for scheme in (MEDIAPIPE_478, IBUG_68):
        for n_dims in (3, 2):
            clips = [clip[:, scheme.in_mesh, :n_dims] for clip in data.clips]
            state = train(check_clips(clips, fps=data.fps))
            save_file(state, folder / f"encoder_{scheme.n_landmarks}_{n_dims}.safetensors")


if __name__ == "__main__":
    main()
