"""What results stand on: the sources that a paper cites, each where it was used."""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

SOURCES = {
    "unet": "Ronneberger O, Fischer P, Brox T (2015). U-Net: convolutional networks for "
    "biomedical image segmentation. MICCAI, LNCS 9351, 234-241. doi:10.1007/978-3-319-24574-4_28",
    "adam": "Kingma DP, Ba J (2015). Adam: a method for stochastic optimization. ICLR. "
    "arXiv:1412.6980",
    "adamw": "Loshchilov I, Hutter F (2019). Decoupled weight decay regularization. ICLR. "
    "arXiv:1711.05101",
    "batch": "Ioffe S, Szegedy C (2015). Batch normalization: accelerating deep network training "
    "by reducing internal covariate shift. ICML. arXiv:1502.03167",
    "group": "Wu Y, He K (2018). Group normalization. ECCV. arXiv:1803.08494",
    "instance": "Ulyanov D, Vedaldi A, Lempitsky V (2016). Instance normalization: the missing "
    "ingredient for fast stylization. arXiv:1607.08022",
    "dice": "Milletari F, Navab N, Ahmadi S-A (2016). V-Net: fully convolutional neural networks "
    "for volumetric medical image segmentation. 3DV. doi:10.1109/3DV.2016.79",
    "focal": "Lin T-Y, Goyal P, Girshick R, He K, Dollár P (2017). Focal loss for dense object "
    "detection. ICCV. arXiv:1708.02002",
    "forest": "Breiman L (2001). Random forests. Machine Learning 45, 5-32. "
    "doi:10.1023/A:1010933404324",
    "thresholding": "Liao P-S, Chen T-S, Chung P-C (2001). A fast algorithm for multilevel "
    "thresholding. Journal of Information Science and Engineering 17, 713-727",
    "temperature": "Guo C, Pleiss G, Sun Y, Weinberger KQ (2017). On calibration of modern "
    "neural networks. ICML. arXiv:1706.04599",
    "pigeonhole": "Owen AB (2007). The pigeonhole bootstrap. Annals of Applied Statistics 1, "
    "386-411. doi:10.1214/07-AOAS122",
    "average": "Polyak BT, Juditsky AB (1992). Acceleration of stochastic approximation by "
    "averaging. SIAM Journal on Control and Optimization 30, 838-855. doi:10.1137/0330046",
    "cosine": "Loshchilov I, Hutter F (2017). SGDR: stochastic gradient descent with warm "
    "restarts. ICLR. arXiv:1608.03983",
    "dropout": "Srivastava N, Hinton G, Krizhevsky A, Sutskever I, Salakhutdinov R (2014). "
    "Dropout: a simple way to prevent neural networks from overfitting. JMLR 15, 1929-1958",
    "surface_dice": "Nikolov S, Blackwell S, Zverovitch A, et al. (2021). Clinically applicable "
    "segmentation of head and neck anatomy for radiotherapy. Journal of Medical Internet "
    "Research 23, e26151. doi:10.2196/26151",
    "fraction": "Baddeley A, Jensen EBV (2005). Stereology for statisticians. Chapman and Hall/CRC",
    "surface": "Legland D, Kiêu K, Devaux M-F (2007). Computation of Minkowski measures on 2D "
    "and 3D binary images. Image Analysis and Stereology 26, 83-92. doi:10.5566/ias.v26.p83-92",
    "stereology": "Underwood EE (1970). Quantitative stereology. Addison-Wesley",
    "triple": "Jørgensen PS, Yakal-Kremski K, Wilson J, Bowen JR, Barnett S (2014). On the "
    "accuracy of triple phase boundary lengths calculated from tomographic image data. Journal "
    "of Power Sources 261, 198-205",
    "euler": "Odgaard A, Gundersen HJG (1993). Quantification of connectivity in cancellous "
    "bone, with special emphasis on 3-D reconstructions. Bone 14, 173-182. "
    "doi:10.1016/8756-3282(93)90245-6",
    "chord": "Torquato S, Lu B (1993). Chord-length distribution function for two-phase random "
    "media. Physical Review E 47, 2950-2953. doi:10.1103/PhysRevE.47.2950",
    "thickness": "Hildebrand T, Rüegsegger P (1997). A new method for the model-independent "
    "assessment of thickness in three-dimensional images. Journal of Microscopy 185, 67-75. "
    "doi:10.1046/j.1365-2818.1997.1340694.x",
    "correlation": "Torquato S (2002). Random heterogeneous materials. Springer",
    "watershed": "Soille P (2004). Morphological image analysis. Springer",
    "sphericity": "Wadell H (1935). Volume, shape, and roundness of quartz particles. Journal of "
    "Geology 43, 250-280. doi:10.1086/624298",
    "tortuosity": "Cooper SJ, Bertei A, Shearing PR, Kilner JA, Brandon NP (2016). TauFactor: an "
    "open-source application for calculating tortuosity factors from tomographic data. SoftwareX "
    "5, 203-210. doi:10.1016/j.softx.2016.09.002",
    "parts": "Kanit T, Forest S, Galliet I, Mounoury V, Jeulin D (2003). Determination of the "
    "size of the representative volume element for random composites. International Journal of "
    "Solids and Structures 40, 3647-3679. doi:10.1016/S0020-7683(03)00143-4",
    "doubt": "Krygier MC, LaBonte T, Martinez C, et al. (2021). Quantifying the unknown impact "
    "of segmentation uncertainty on image-based simulations. Nature Communications 12, 5414. "
    "doi:10.1038/s41467-021-25493-8",
    "matches": "Kirillov A, He K, Girshick R, Rother C, Dollár P (2019). Panoptic segmentation. "
    "CVPR. doi:10.1109/CVPR.2019.00963",
    "mesh": "Lewiner T, Lopes H, Vieira AW, Tavares G (2003). Efficient implementation of "
    "marching cubes' cases with topological guarantees. Journal of Graphics Tools 8, 1-15. "
    "doi:10.1080/10867651.2003.10487582",
    "rescaled": "Rao JNK, Wu CFJ (1988). Resampling inference with complex survey data. Journal "
    "of the American Statistical Association 83, 231-241. doi:10.1080/01621459.1988.10478591",
}
"""What a paper cites, by what a run used."""
IN_TEXT = {
    "unet": "Ronneberger et al. 2015",
    "adam": "Kingma and Ba 2015",
    "adamw": "Loshchilov and Hutter 2019",
    "batch": "Ioffe and Szegedy 2015",
    "group": "Wu and He 2018",
    "instance": "Ulyanov et al. 2016",
    "dice": "Milletari et al. 2016",
    "focal": "Lin et al. 2017",
    "forest": "Breiman 2001",
    "thresholding": "Liao et al. 2001",
    "temperature": "Guo et al. 2017",
    "pigeonhole": "Owen 2007",
    "average": "Polyak and Juditsky 1992",
    "cosine": "Loshchilov and Hutter 2017",
    "dropout": "Srivastava et al. 2014",
    "surface_dice": "Nikolov et al. 2021",
    "fraction": "Baddeley and Jensen 2005",
    "surface": "Legland et al. 2007",
    "stereology": "Underwood 1970",
    "triple": "Jørgensen et al. 2014",
    "euler": "Odgaard and Gundersen 1993",
    "chord": "Torquato and Lu 1993",
    "thickness": "Hildebrand and Rüegsegger 1997",
    "correlation": "Torquato 2002",
    "watershed": "Soille 2004",
    "sphericity": "Wadell 1935",
    "tortuosity": "Cooper et al. 2016",
    "parts": "Kanit et al. 2003",
    "doubt": "Krygier et al. 2021",
    "matches": "Kirillov et al. 2019",
    "mesh": "Lewiner et al. 2003",
    "rescaled": "Rao and Wu 1988",
}
OF_QUANTITIES = {
    "volume_fraction": ("fraction",),
    "area_fraction": ("fraction",),
    "surface_density": ("surface",),
    "interface_density": ("surface",),
    "triple_line_density": ("triple",),
    "active_triple_line_density": ("triple",),
    "euler_density": ("euler",),
    "mean_chord": ("chord",),
    "chord_length": ("chord",),
    "mean_thickness": ("thickness",),
    "thickness_deviation": ("thickness",),
    "thickness": ("thickness",),
    "two_point_correlation": ("correlation",),
    "object_density": ("watershed",),
    "mean_object_diameter": ("watershed",),
    "mean_sphericity": ("watershed", "sphericity"),
    "tortuosity": ("tortuosity",),
    "effective_diffusivity": ("tortuosity",),
}
"""What quantities and curves of a volume cite, by their name; others are counted."""
ADDITIVE = {"volume_fraction", "surface_density", "interface_density", "triple_line_density"}
"""Quantities whose intervals are of resampled sums."""


class Cited:
    """Gives in-text citations, and remembers which there were."""

    def __init__(self) -> None:
        self.keys: dict[str, None] = {}

    def __call__(self, *keys: str) -> str:
        """ "(Owen 2007; Holm 1979)", of keys of `SOURCES`."""
        self.keys |= dict.fromkeys(keys)
        return f"({'; '.join(IN_TEXT[key] for key in keys)})"


def of_quantities(measured: Json) -> dict[str, None]:
    """Keys of the sources of what was measured, in the order of the quantities.

    Args:
      measured: as `measured.json` holds it.
    """
    keys: dict[str, None] = {}
    flat = measured["dimension"] == 2 and not measured.get("independent")
    for one in [*measured["quantities"], *measured["curves"]]:
        of = OF_QUANTITIES.get(one["quantity"], ())
        # Slices let estimate surfaces and lines of the volume; fractions are the same.
        keys |= dict.fromkeys(("stereology",) if flat and of != ("fraction",) else of)
    known = [one for one in measured["quantities"] if one.get("interval")]
    resampled = {"area_fraction"} | ADDITIVE
    if any(one["quantity"] in resampled for one in known):
        keys["rescaled"] = None
    if any(one["quantity"] not in resampled for one in known) or measured.get("representative"):
        keys["parts"] = None
    if any(one.get("doubt_low") is not None for one in measured["quantities"]):
        keys["doubt"] = None
    keys |= dict.fromkeys(["matches"] if measured.get("objects") else [])
    return keys | dict.fromkeys(["mesh"] if measured.get("meshes") else [])
