"""Writes mixtures.json: teacher and student, mixtures in 32 dimensions (needs NumPy)."""
import json

import numpy as np

random = np.random.default_rng(5)
teacher = random.standard_normal((6, 32))
student = teacher + 0.1 * random.standard_normal((6, 32))
mixtures = {
    "teacher": {"weights": [1 / 6] * 6, "variance": 0.3**2, "means": teacher.tolist()},
    "student": {"weights": [0.02] + [0.196] * 5, "variance": 0.33**2, "means": student.tolist()},
}
with open("mixtures.json", "w") as file:
    json.dump(mixtures, file)
    file.write("\n")
