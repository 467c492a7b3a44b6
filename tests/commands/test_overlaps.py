"""A run never writes over what it reads, nor over what it did not make."""

from unsee.tests.commands.running import FAST, bytes_below, unsee


def test_pattern_of_maps_beside_their_images_is_refused(photographs, tiny_bundle, tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "cup.png").write_bytes((photographs / "01.png").read_bytes())
    before = bytes_below(folder)
    message = unsee("run", "a/*.png", "--output-folder", "a", "--model", tiny_bundle, *FAST, cwd=tmp_path, expect=2).err
    assert "a/cup.png" in message
    assert bytes_below(folder) == before
