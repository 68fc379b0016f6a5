"""Every cell by its name: one line each. `CELLS[name](inputs, units)` is legal for all inputs, units >= 1."""

from rnnx.cells.gated.cfn import CFN
from rnnx.cells.gated.fast import FastGRNN, FastRNN
from rnnx.cells.gated.gru import GRU, GRUBefore
from rnnx.cells.gated.janet import JANET
from rnnx.cells.gated.lstm import LSTM
from rnnx.cells.gated.lstm_1997 import LSTM1997
from rnnx.cells.gated.lstm_layer_norm import LSTMLayerNorm
from rnnx.cells.gated.lstm_multiplicative import LSTMMultiplicative
from rnnx.cells.gated.lstm_peephole import LSTMCoupled, LSTMPeephole
from rnnx.cells.gated.lstm_projected import LSTMProjected
from rnnx.cells.gated.lstm_refine import LSTMRefine
from rnnx.cells.gated.mgu import MGU
from rnnx.cells.gated.minimalrnn import MinimalRNN
from rnnx.cells.gated.rhn import RHN
from rnnx.cells.gated.ugrnn import UGRNN
from rnnx.cells.leaky.antisymmetric import Antisymmetric, GatedAntisymmetric
from rnnx.cells.leaky.cfc import CfC
from rnnx.cells.leaky.clockwork import Clockwork
from rnnx.cells.leaky.cornn import CoRNN
from rnnx.cells.leaky.ctrnn import CTRNN
from rnnx.cells.leaky.esn import ESN
from rnnx.cells.leaky.lem import LEM
from rnnx.cells.leaky.lipschitz import Lipschitz
from rnnx.cells.leaky.lmu import LMU
from rnnx.cells.leaky.ltc import LTC
from rnnx.cells.leaky.plrnn import RegularisedPLRNN, ShallowPLRNN
from rnnx.cells.leaky.unicornn import UnICORNN
from rnnx.cells.linear.indrnn import IndRNN
from rnnx.cells.linear.lru import LRU
from rnnx.cells.linear.mingru import MinGRU, MinLSTM
from rnnx.cells.linear.qrnn import QRNN
from rnnx.cells.linear.rglru import RGLRU
from rnnx.cells.linear.s4d import S4D
from rnnx.cells.linear.s5 import S5
from rnnx.cells.linear.s6 import S6
from rnnx.cells.linear.slstm import SLSTM
from rnnx.cells.linear.sru import SRU
from rnnx.cells.matrix.deltanet import DeltaNet, GatedDeltaNet
from rnnx.cells.matrix.fastweights import GLA, FastWeights
from rnnx.cells.matrix.mlstm import MLSTM
from rnnx.cells.simple.elman import Elman
from rnnx.cells.simple.mrnn import MRNN
from rnnx.cells.simple.scrn import SCRN
from rnnx.cells.unitary.eunn import EUNN
from rnnx.cells.unitary.exprnn import ExpRNN, ScoRNN
from rnnx.cells.unitary.nnrnn import NNRNN
from rnnx.cells.unitary.spectral import Spectral
from rnnx.cells.unitary.unitary import Unitary
from rnnx.cells.unitary.urnn import URNN
from rnnx.cells.wrappers.connections import Highway, Residual
from rnnx.cells.wrappers.dropout import DropConnect, Dropout
from rnnx.cells.wrappers.norms import InputNorm, LayerNorm
from rnnx.cells.wrappers.precision import Precision
from rnnx.cells.wrappers.readout import Readout
from rnnx.cells.wrappers.stack import Stack
from rnnx.cells.wrappers.zoneout import Zoneout

CELLS = {
    # simple
    "elman": Elman,
    "scrn": SCRN,
    "mrnn": MRNN,
    # gated
    "lstm": LSTM,
    "lstm_1997": LSTM1997,
    "lstm_peephole": LSTMPeephole,
    "lstm_coupled": LSTMCoupled,
    "lstm_projected": LSTMProjected,
    "lstm_layer_norm": LSTMLayerNorm,
    "lstm_refine": LSTMRefine,
    "lstm_multiplicative": LSTMMultiplicative,
    "gru": GRU,
    "gru_before": GRUBefore,
    "mgu": MGU,
    "ugrnn": UGRNN,
    "janet": JANET,
    "cfn": CFN,
    "minimalrnn": MinimalRNN,
    "rhn": RHN,
    "fastgrnn": FastGRNN,
    "fastrnn": FastRNN,
    # leaky
    "ctrnn": CTRNN,
    "clockwork": Clockwork,
    "antisymmetric": Antisymmetric,
    "antisymmetric_gated": GatedAntisymmetric,
    "lipschitz": Lipschitz,
    "plrnn": ShallowPLRNN,
    "rplrnn": RegularisedPLRNN,
    "esn": ESN,
    "cornn": CoRNN,
    "unicornn": UnICORNN,
    "lem": LEM,
    "ltc": LTC,
    "cfc": CfC,
    "lmu": LMU,
    # unitary
    "urnn": URNN,
    "unitary": Unitary,
    "exprnn": ExpRNN,
    "scornn": ScoRNN,
    "nnrnn": NNRNN,
    "eunn": EUNN,
    "spectral": Spectral,
    # linear
    "indrnn": IndRNN,
    "lru": LRU,
    "s4d": S4D,
    "s5": S5,
    "rglru": RGLRU,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "sru": SRU,
    "qrnn": QRNN,
    "s6": S6,
    "slstm": SLSTM,
    # matrix
    "fastweights": FastWeights,
    "gla": GLA,
    "deltanet": DeltaNet,
    "gated_deltanet": GatedDeltaNet,
    "mlstm": MLSTM,
}

# Cells made of another cell, which they take as their field `cell` (a stack: of several, its field `cells`).
WRAPPERS = {
    "readout": Readout,
    "stack": Stack,
    "residual": Residual,
    "highway": Highway,
    "layer_norm": LayerNorm,
    "input_norm": InputNorm,
    "zoneout": Zoneout,
    "dropout": Dropout,
    "drop_connect": DropConnect,
    "precision": Precision,
}
