"""Files and stores of other programs open with what their own libraries say of them.

They are not part of the project: the test looks for them in `shared/formats` beside the checkout
and is skipped where they are not. Shape, type, range and voxel size below were printed by tifffile,
h5py, zarr, nibabel, SimpleITK, pydicom, mrcfile and olefile.
"""

# ruff: noqa: E501 - a file is a row.

import math
from pathlib import Path

import numpy as np
import pytest

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan

FORMATS = Path(__file__).parent.parent.parent / "shared" / "formats"

# Name, shape (Z, Y, X), type, least and largest value, voxel size (z, y, x), unit.
OPENS = """
dicom/pydicom/693_J2KI.dcm 1x512x512 int32 -3995 1812 20,0.478516,0.478516 mm
dicom/pydicom/CT_small.dcm 1x128x128 int32 -896 1167 5,0.661468,0.661468 mm
dicom/pydicom/J2K_pixelrep_mismatch.dcm 1x512x512 int16 -2000 1896 5,0.431,0.431 mm
dicom/pydicom/JPEG-lossy.dcm 1x1024x256 uint16 0 264 ?,2.26,2.26 mm
dicom/pydicom/MR_small.dcm 1x64x64 int16 127 2145 0.8,0.3125,0.3125 mm
dicom/pydicom/MR_small_RLE.dcm 1x64x64 int16 127 2145 0.8,0.3125,0.3125 mm
dicom/pydicom/MR_small_bigendian.dcm 1x64x64 int16 127 2145 0.8,0.3125,0.3125 mm
dicom/pydicom/MR_small_implicit.dcm 1x64x64 int16 127 2145 0.8,0.3125,0.3125 mm
dicom/pydicom/MR_small_jp2klossless.dcm 1x64x64 int16 127 2145 0.8,0.3125,0.3125 mm
dicom/pydicom/MR_small_jpeg_ls_lossless.dcm 1x64x64 int16 127 2145 0.8,0.3125,0.3125 mm
dicom/pydicom/image_dfl.dcm 1x512x512 uint8 0 255 - -
dicom/slicer_CTHead 93x64x64 int16 0 3926 1.5,3.2,3.2 mm
hdf5/dxchange/lena.h5 1x512x512 uint8 3 248 - -
hdf5/dxchange/reader.h5 4x8x16 int8 1 1 - -
hdf5/filters_hdf5plugin/bitshuffle.h5 1x2167x2070 uint32 0 4.29497e+09 - -
hdf5/filters_hdf5plugin/blosc.h5 100x100x100 float32 0 999999 - -
hdf5/nexusformat/AgBehenate_228.hdf5 1x195x487 int32 0 1.03266e+06 - -
hdf5/nexusformat/nexus-example.hdf5 10x195x487 int32 22 78939 - -
labels/labkit/blobs_segmentation.tif 1x254x256 uint8 0 1 - -
labels/labkit/drosophila_3d_labeling.tif 50x50x50 int32 0 2 - -
labels/labkit/expected-segmentation.tif 40x40x40 uint16 0 1 1,1,1 um
labels/labkit/leaf_segmentation.tif 1x446x507 int16 0 1 - -
labels/labkit/nucleiLabeling.tif 1x47x65 uint8 0 2 - -
labels/pyradiomics/prostate_phantom_subvolume-label.nrrd 13x67x82 int16 0 9 3,0.5,0.5 mm
labels/pyradiomics/prostate_phantom_subvolume.nrrd 13x67x82 uint16 0 2017 3,0.5,0.5 mm
labels/slicer/CTChest4.nrrd 34x128x128 int32 -3024 3070 10,3.04688,3.04688 mm
labels/slicer/Segmentation.seg.nrrd 34x128x128 uint8 0 7 10,3.04688,3.04688 mm
labels/stardist/img3d.tif 31x61x57 uint16 104 375 - -
labels/stardist/mask3d.tif 31x61x57 uint16 0 162 - -
labels/volume-segmantics/sample_123761_VESSEL_LABELS.tiff 256x256x256 uint32 0 255 - -
labels/volume-segmantics/vessels_256cube_LABELS.h5 256x256x256 uint8 0 255 - -
metaimage/cil/head.mha 93x64x64 uint16 0 3926 1.5,3.2,3.2 mm
metaimage/itk/BrainProtonDensity3Slices.mha 3x217x181 uint8 0 250 1,1,1 mm
metaimage/itk/blob4.mha 40x40x40 uint8 0 255 1,1,1 mm
metaimage/itk/fuel.mha 68x68x68 uint8 0 255 1,1,1 mm
metaimage/itk/hydrogenAtom.mha 128x128x128 uint8 0 250 1,1,1 mm
metaimage/itk/silicium.mha 40x40x104 uint8 0 255 1,1,1 mm
mrc/mrcfile/EMD-3001.map 25x43x73 float32 -0.368143 0.72161 0.3925,0.44825,0.45875 angstrom
mrc/mrcfile/EMD-3197.map 20x20x20 float32 -4.13375 5.57674 11.4,11.4,11.4 angstrom
mrc/mrcfile/emd_3197.map.gz 20x20x20 float32 -4.13375 5.57674 11.4,11.4,11.4 angstrom
nifti/nibabel/anatomical.nii 25x41x33 int16 -610 30393 2,2,2 mm
nifti/nibabel/minc1_1_scale.mnc 10x20x20 float64 0.208284 0.209433 2,2,2 mm
nifti/nibabel/minc2_1_scale.mnc 10x20x20 float64 0.208284 0.209433 2,2,2 mm
nifti/nibabel/resampled_anat_moved.nii 3x21x17 float32 409.3 13361 8,4,4 mm
nifti/nibabel/standard.nii.gz 7x5x4 uint8 0 255 2,3,1 -
nifti/simpleitk/r16slice.nii.gz 1x256x256 float32 0 183.488 ?,1,1 mm
nifti/simpleitk/r64slice.nii.gz 1x256x256 float32 0 241.181 ?,1,1 mm
nrrd/pynrrd/BallBinary30x30x30.nhdr 30x30x30 int16 0 257 1,1,1 mm
nrrd/pynrrd/BallBinary30x30x30.nii.gz 30x30x30 int16 0 257 1,1,1 mm
nrrd/pynrrd/BallBinary30x30x30.nrrd 30x30x30 int16 0 257 1,1,1 mm
nrrd/pynrrd/BallBinary30x30x30.raw 30x30x30 int16 0 257 1,1,1 mm
nrrd/pynrrd/BallBinary30x30x30_byteskip_minus_one.nhdr 30x30x30 int16 0 257 1,1,1 mm
nrrd/pynrrd/BallBinary30x30x30_bz2.nrrd 30x30x30 int16 0 257 1,1,1 mm
nrrd/pynrrd/BallBinary30x30x30_gz.nrrd 30x30x30 int16 0 257 1,1,1 mm
nrrd/pynrrd/BallBinary30x30x30_gz_lineskip.nrrd 30x30x30 int16 0 257 1,1,1 mm
nrrd/pynrrd/test2d_ascii.nrrd 1x9x3 uint16 1 27 ?,2,1.0458 -
nrrd/pynrrd/test_simple4d_raw.nrrd 1x1x1 float64 0.769034 0.769034 1,1.5,1.5 mm
nrrd/simplnx/BasicFilters_BilateralImageFilter_3d.nrrd 64x64x64 int16 -982 32441 0.755875,0.755875,0.755875 mm
nrrd/simplnx/BasicFilters_BinaryMagnitudeImageFilter_3d.nrrd 1x64x64 uint32 29998 46183 0.755875,0.755875,0.755875 mm
tiff/banana_mri_stack 3x384x384 uint16 0 1525 ?,0.390625,0.390625 mm
tiff/image-tiff/12bit.cropped.tiff 1x64x64 uint16 0 27 - -
tiff/image-tiff/gradient-1c-32b-float.tiff 1x1x256 float32 0.000893528 0.998265 - -
tiff/image-tiff/gradient-1c-32b.tiff 1x1x256 uint32 3.83767e+06 4.28752e+09 - -
tiff/image-tiff/gradient-1c-64b-float.tiff 1x1x256 float64 0.000893528 0.998265 - -
tiff/image-tiff/gradient-1c-64b.tiff 1x1x256 uint64 3.83767e+06 4.28752e+09 - -
tiff/image-tiff/int16.tif 1x64x64 int16 -5000 4998 - -
tiff/image-tiff/int16_zstd.tif 1x64x64 int16 -5000 4998 - -
tiff/image-tiff/int8.tif 1x64x64 int8 -128 127 - -
tiff/image-tiff/issue_69_lzw.tiff 1x45x45 uint16 430 598 - -
tiff/image-tiff/issue_69_packbits.tiff 1x45x45 uint16 430 598 - -
tiff/image-tiff/seq-1c-4b-miniswhite-fb92dcae.tiff 1x16x16 uint8 0 255 - -
tiff/image-tiff/seq-1c-64f-deflate-fpredict-afa8560e.tiff 1x16x16 float64 0 1 - -
tiff/image-tiff/seq-1c-8b-bigendian-20f3db0c.tiff 1x16x16 uint8 0 255 - -
tiff/image-tiff/seq-1c-8b-lzw-hpredict-20f3db0c.tiff 1x16x16 uint8 0 255 - -
tiff/image-tiff/seq-1c-8b-multipage-adeefdcc.tiff 3x16x16 uint8 0 255 - -
tiff/image-tiff/seq-1c-8b-palette-89b39bc3.tiff 1x16x16 uint8 0 255 - -
tiff/image-tiff/seq-1c-8b-tiled-bigtiff-20f3db0c.tiff 1x16x16 uint8 0 255 - -
tiff/image-tiff/seq-1c-i16-63af2488.tiff 1x16x16 int16 -128 127 - -
tiff/image-tiff/seq-1c-i32-99fddec2.tiff 1x16x16 int32 -128 127 - -
tiff/image-tiff/tiled-gray-i1.tif 1x51x37 bool 0 1 - -
tiff/image-tiff/tiled-oversize-gray-i8.tif 1x374x499 int8 -128 127 - -
tiff/image-tiff/white-fp16-pred3.tiff 1x256x256 float16 0 1 - -
tiff/imagej/DeconvolutionSampleVerticalGrid1AU-crop.tif 21x150x150 uint8 1 8 0.125,0.0219647,0.0219647 um
tiff/imagej/_blobs_3d_fiji_skeleton.tif 30x32x32 uint8 0 255 - -
tiff/imagej/bat-cochlea_sub25.tif 29x39x30 uint8 0 255 - -
tiff/imagej/gray8-3x2-stack.tif 2x2x3 uint8 0 200 1,352.858,352.858 um
tiff/imagej/head.tif 1x228x256 float32 1024 1262 - -
tiff/imagej/head8bit.tif 1x228x256 uint8 0 255 - -
tiff/imagej/with-slice-label.tif 1x1x1 uint8 0 0 - -
tiff/ome/single-channel.ome.tiff 1x167x439 int8 -1 96 - -
tiff/ome_multifile 5x24x18 uint8 0 255 ?,0.001,0.001 mm
tiff/simplnx_imagestack 3x390x524 uint8 0 255 ?,0.2,0.3 mm
tiff/skimage/chessboard_GRAY_U16B.tif 1x200x200 uint16 0 255 - -
tiff/skimage/multipage.tif 2x15x10 uint8 0 255 - -
tiff/taufactor_battery_electrode/electrode.tiff 256x256x256 uint8 0 170 - -
zeiss/dxchange/test_chip00.xrm 1x512x512 uint16 1 1117 ?,0.0778947,0.0778947 um
zarr/n5-zarr_shard_test.zarr 1x4x6 uint8 3 123 - -
zarr/neuroglancer_simple_0.4 1x10x10 uint16 0 99 ?,4,30 nm
zarr/neuroglancer_simple_0.5 1x10x10 uint16 0 99 ?,4,30 nm
zarr/neuroglancer_simple_0.5.zip 1x10x10 uint16 0 99 ?,4,30 nm
zarr/ngffzarr_silicium_v04.ome.zarr 40x40x104 uint8 0 255 2,0.5,0.5 um
zarr/ngffzarr_silicium_v05.ome.zarr 40x40x104 uint8 0 255 2,0.5,0.5 um
zarr/omezarrpy_stardist_v04.ome.zarr 31x61x57 uint16 104 375 2,0.5,0.5 um
zarr/omezarrpy_stardist_v05.ome.zarr 31x61x57 uint16 104 375 2,0.5,0.5 um
tiff/imagej/hyperCube.tif::c=1,t=0 12x12x12 uint8 0 255 - -
tiff/ome/multi-channel-z-series.ome.tif::c=2 5x167x439 int8 -1 96 - -
tiff/ome/multi-channel.ome.tif::c=1 1x167x439 int8 -1 96 - -
hdf5/tomopy/tooth.h5::/exchange/data 181x2x640 float32 3921.25 33891.5 - -
hdf5/nxtomo_generated/tooth_nxtomo.nx::/entry0000/instrument/detector/data 37x2x640 uint16 89 34041 - -
hdf5/filters_hdf5plugin/sz3.h5::/testdouble_8_8_128_absolute_sz3 8x8x128 float64 0.212281 5.12117 - -
hdf5/filters_hdf5plugin/sz3.h5::/testdouble_8_8_128 8x8x128 float64 0.21316 5.12018 - -
hdf5/nexusformat/Focus_2021-03-16_051.hdf5::/entry1/control/data 1x25x25 float64 400.414 400.593 ?,6,? um
hdf5/nexusformat/p45-1168.nxs::/entry/instrument/stagex/value 1x5x5 float64 0.1 0.9 - -
raw/ctsimu_tetrahedron/tetra_projections.raw::21x150x150,uint16,little 21x150x150 uint16 121 59999 - -
zarr/omezarrpy_stardist_v04.ome.zarr::labels/nuclei 31x61x57 uint16 0 162 2,0.5,0.5 um
zarr/omezarrpy_stardist_v05.ome.zarr::labels/nuclei 31x61x57 uint16 0 162 2,0.5,0.5 um
zarr/n5-zarr_dimensionOrder.zarr::c-order 3x4x5 uint8 0 59 - -
zarr/n5-zarr_dimensionOrder.zarr::f-order 3x4x5 uint8 0 59 - -
zarr/zarrita_js_v3.zarr::3d.chunked.mixed.i2.F 3x3x3 int16 0 26 - -
zarr/zarrita_js_v3.zarr::2d.chunked.compressed.sharded.filled.i2 1x4x4 int16 0 15 - -
zarr/neuroglancer_simple_0.5::scale1/image 1x5x5 uint16 2 86 - -
tiff/micromanager_ndtiff/ndtiffv3.0_test/ndtiffv3.0_test_NDTiffStack.tif::c=1 5x32x32 uint16 706 5846 ?,0.001,0.001 mm
tiff/micromanager_ndtiff/ndtiffv3.0_test/ndtiffv3.0_test_NDTiffStack.tif::c=1,t=0 1x32x32 uint16 706 5846 ?,0.001,0.001 mm
tiff/ome_multifile/multifile-Z3.ome.tiff 5x24x18 uint8 0 255 - -
tiff/ome_multifile/multifile.companion.ome 5x24x18 uint8 0 255 - -
"""

# Name and reason.
REFUSED = {
    "hdf5/dxchange/read_stack.h5": "holds 26 data sets; name one as",
    "hdf5/filters_hdf5plugin/regression_0.4.0.h5": "holds no data set of two or three dimensions; it has no data sets of two or more dimensions",
    "hdf5/filters_hdf5plugin/sz3.h5": "holds 22 data sets; name one as",
    "hdf5/filters_hdf5plugin/test_zfp_be.h5": "holds no data set of two or three dimensions; it has no data sets of two or more dimensions",
    "hdf5/filters_hdf5plugin/zfp_054.h5": "holds no data set of two or three dimensions; it has no data sets of two or more dimensions",
    "hdf5/nexusformat/Focus_2021-03-16_051.hdf5": "holds 6 data sets; name one as",
    "hdf5/nexusformat/NXarpes.hdf5": "holds no data set of two or three dimensions; it has no data sets of two or more dimensions",
    "hdf5/nexusformat/NXscan.hdf5": "its default data set /entry/data/data has shape (), no volume; it has no data sets of two or more dimensions",
    "hdf5/nexusformat/p45-1168.nxs": "holds 3 data sets; name one as",
    "hdf5/nxtomo_generated/tooth_nxtomo.nx": "/entry0000/data/data (37, 2, 640) are projections (beside an image_key), not a volume; reconstruct them first",
    "hdf5/tomopy/tooth.h5": "holds 3 data sets; name one as",
    "labels/slicer/SegmentationOverlapping.seg.nrrd": "sizes [2, 128, 128, 34] hold 2 of kind list; expected one value a voxel",
    "metaimage/itk/BayesianClassifierInitializerMemberships.mhd": "has 4 channels and sizes [181, 217]; expected one channel and 2 or 3 axes",
    "metaimage/itk/BayesianClassifierInitializerMemberships.raw": "has 4 channels and sizes [181, 217]; expected one channel and 2 or 3 axes",
    "metaimage/itk/BrainProtonDensity3Slices.raw": "raw data does not say its shape; give it as BrainProtonDensity3Slices.raw::ZxYxX,uint16,little",
    "nifti/nibabel/example4d.nii.gz": "has shape (128, 96, 24, 2); expected one volume of 2 or 3 axes",
    "nifti/nibabel/example_nifti2.nii.gz": "has shape (32, 20, 12, 2); expected one volume of 2 or 3 axes",
    "nifti/nibabel/functional.nii": "has shape (17, 21, 3, 20); expected one volume of 2 or 3 axes",
    "nifti/nibabel/test.mgz": "has shape (3, 4, 5, 2); expected one volume of 2 or 3 axes",
    "nrrd/pynrrd/BallBinary30x30x30_nifti.nhdr": "the data has 54352 unpacked bytes, but 30 x 30 x 30 int16 from byte 0 on end at 54000",
    "raw/ctsimu_tetrahedron": "holds no images; expected files ending .tif",
    "tiff/image-tiff/BigTIFF.tif": "is a colour image; X-ray images are grayscale: convert it",
    "tiff/image-tiff/BigTIFFLong.tif": "is a colour image; X-ray images are grayscale: convert it",
    "tiff/image-tiff/BigTIFFMotorola.tif": "is a colour image; X-ray images are grayscale: convert it",
    "tiff/imagej/hyperCube.tif": "has axes tzcyx (2, 12, 2, 12, 12): 2 along t, 2 along c (c: channel, t: time); choose one volume with ::t=0,c=0",
    "tiff/micromanager_ndtiff/12_bit_pycromanager_mda": "has 8 images, expected one slice (height, width)",
    "tiff/micromanager_ndtiff/ndtiffv3.0_test": "has 10 images, expected one slice (height, width)",
    "tiff/ome/multi-channel-avivator.ome.tif": "has axes cyx (3, 167, 439): 3 along c (c: channel, t: time); choose one volume with ::c=0",
    "tiff/ome/multi-channel-z-series.ome.tif": "has axes czyx (3, 5, 167, 439): 3 along c (c: channel, t: time); choose one volume with ::c=0",
    "tiff/ome/multi-channel.ome.tif": "has axes cyx (3, 167, 439): 3 along c (c: channel, t: time); choose one volume with ::c=0",
    "tiff/ome/ome.tiff": "has axes cyx (2, 6, 6): 2 along c (c: channel, t: time); choose one volume with ::c=0",
    "zeiss/dxchange/txrm_test_chip_tomo.txrm": "a .txrm file holds projections, not a volume; reconstruct it and open the .txm file",
    "zarr/n5-zarr_dimensionOrder.zarr": "holds 2 arrays",
    "zarr/zarrita_js_v3.zarr": "holds 8 arrays",
    "tiff/micromanager_ndtiff/ndtiffv3.0_test/ndtiffv3.0_test_NDTiffStack.tif": "has axes tcyx (5, 2, 32, 32): 2 along c (c: channel, t: time); choose one volume with ::c=0",
    "raw/ctsimu_tetrahedron/tetra_projections.raw": "raw data does not say its shape; give it as tetra_projections.raw::ZxYxX,uint16,little",
}


def place(name):
    if not FORMATS.is_dir():
        pytest.skip("there is no ../shared/formats beside the checkout")
    if not (FORMATS / name.partition("::")[0]).exists():
        pytest.skip(f"../shared/formats has no {name}")
    return f"{FORMATS}/{name}"


@pytest.mark.parametrize("row", OPENS.split("\n")[1:-1], ids=lambda row: row.split()[0])
def test_it_opens_as_its_own_library_opens_it(row):
    name, shape, dtype, low, high, size, unit = row.split()
    with open_scan(place(name)) as scan:
        assert "x".join(map(str, scan.shape)) == shape
        assert str(scan.dtype) == dtype
        values_ZYX = scan.slab(0, scan.shape[0])
        for wanted, found in ((low, np.nanmin(values_ZYX)), (high, np.nanmax(values_ZYX))):
            assert float(found) == pytest.approx(float(wanted), rel=1e-5)
        for axis, length in enumerate(scan.shape):
            plane = scan.plane(length // 2, axis)
            np.testing.assert_array_equal(plane, values_ZYX.take(length // 2, axis))
        assert (scan.unit or "-") == unit
        if size == "-":
            assert scan.voxel_size is None
        else:
            wanted = [math.nan if step == "?" else float(step) for step in size.split(",")]
            assert scan.voxel_size == pytest.approx(wanted, rel=1e-5, nan_ok=True)


def first_plane(path):
    with open_scan(path) as scan:
        return scan.plane(0)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_for_the_true_reason(name):
    path = place(name)
    with pytest.raises(InputError) as failed:
        first_plane(path)
    assert REFUSED[name] in str(failed.value)
    assert "\n" not in str(failed.value)
