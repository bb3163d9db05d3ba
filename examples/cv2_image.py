"""Read and write images with OpenCV: python cv2_image.py [s3://bucket/prefix]."""

from __future__ import annotations

import cv2
import numpy as np
from place import place

import aioobs.sync as mox


def main(url: str) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[8:40, 8:56] = (0, 128, 255)

    _, encoded = cv2.imencode(".png", image)
    mox.file.write(f"{url}/image.png", encoded.tobytes())

    data = np.frombuffer(mox.file.read(f"{url}/image.png", binary=True), np.uint8)
    found = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert found is not None, "not an image"
    print(found.shape, found[20, 20], "the same:", np.array_equal(image, found))


if __name__ == "__main__":
    with place() as url:
        main(url)
