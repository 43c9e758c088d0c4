"""The tiny lesions of `response_examples`, each on an image of its own."""

from dataclasses import replace

from response_examples import made_cohort

from surrogate3d.grid import Cohort, Lesion, Volume


def apart(n_patients: int) -> Cohort:
    """Lesions that share no image, 100 mm from each other."""
    return Cohort([_moved(each, 100.0 * number) for number, each in enumerate(made_cohort(n_patients))])


def _moved(lesion: Lesion, along_mm: float) -> Lesion:
    def there(volume: Volume) -> Volume:
        x, y, z = volume.grid.origin_mm
        return replace(volume, grid=replace(volume.grid, origin_mm=(x + along_mm, y, z)))

    volumes = {name: there(volume) for name, volume in lesion.delivered.items()}
    return replace(lesion, image=there(lesion.image), delivered=volumes)
