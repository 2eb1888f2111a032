"""Names for types of arrays. A docstring gives the shape and says what the numbers are."""

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]  # one vector a row
Vector = npt.NDArray[np.float32]  # one vector, or one number for each row
Indices = npt.NDArray[np.intp]  # row numbers, as NumPy computes them
StoredIndices = npt.NDArray[np.int32]  # row numbers, as files hold them
Mask = npt.NDArray[np.bool_]  # one value for each row
