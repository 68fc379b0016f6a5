"""What happens in ONE step: equations, weights, initialisers. One family a file, one line in the catalogue."""

from rnnx.cells.catalogue import CELLS, WRAPPERS
from rnnx.cells.gated import (
    cfn,
    fast,
    gru,
    janet,
    lstm,
    lstm_1997,
    lstm_layer_norm,
    lstm_multiplicative,
    lstm_peephole,
    lstm_projected,
    lstm_refine,
    mgu,
    minimalrnn,
    rhn,
    ugrnn,
)
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
from rnnx.cells.initialisers import INITIALISERS
from rnnx.cells.leaky import antisymmetric, cfc, clockwork, cornn, ctrnn, esn, lem, lipschitz, lmu, ltc, plrnn, unicornn
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
from rnnx.cells.linear import indrnn, lru, mingru, qrnn, rglru, s4d, s5, s6, slstm, sru
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
from rnnx.cells.matrix import deltanet, fastweights, mlstm
from rnnx.cells.matrix.deltanet import DeltaNet, GatedDeltaNet
from rnnx.cells.matrix.fastweights import GLA, FastWeights
from rnnx.cells.matrix.mlstm import MLSTM
from rnnx.cells.memory import MEMORIES
from rnnx.cells.presets import PRESETS, imitate
from rnnx.cells.simple import elman, mrnn, scrn
from rnnx.cells.simple.elman import Elman
from rnnx.cells.simple.mrnn import MRNN
from rnnx.cells.simple.scrn import SCRN
from rnnx.cells.spelling import build, from_json, spell, to_json
from rnnx.cells.unitary import eunn, exprnn, nnrnn, spectral, unitary, urnn
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

__all__ = [
    "Antisymmetric",
    "CELLS",
    "CFN",
    "CTRNN",
    "CfC",
    "Clockwork",
    "CoRNN",
    "DeltaNet",
    "DropConnect",
    "Dropout",
    "ESN",
    "EUNN",
    "Elman",
    "ExpRNN",
    "FastGRNN",
    "FastRNN",
    "FastWeights",
    "GLA",
    "GRU",
    "GRUBefore",
    "GatedAntisymmetric",
    "GatedDeltaNet",
    "Highway",
    "INITIALISERS",
    "IndRNN",
    "InputNorm",
    "JANET",
    "LEM",
    "LMU",
    "LRU",
    "LSTM",
    "LSTM1997",
    "LSTMCoupled",
    "LSTMLayerNorm",
    "LSTMMultiplicative",
    "LSTMPeephole",
    "LSTMProjected",
    "LSTMRefine",
    "LTC",
    "LayerNorm",
    "Lipschitz",
    "MEMORIES",
    "MGU",
    "MLSTM",
    "MRNN",
    "MinGRU",
    "MinLSTM",
    "MinimalRNN",
    "NNRNN",
    "PRESETS",
    "Precision",
    "QRNN",
    "RGLRU",
    "RHN",
    "Readout",
    "RegularisedPLRNN",
    "Residual",
    "S4D",
    "S5",
    "S6",
    "SCRN",
    "SLSTM",
    "SRU",
    "ScoRNN",
    "ShallowPLRNN",
    "Spectral",
    "Stack",
    "UGRNN",
    "URNN",
    "UnICORNN",
    "Unitary",
    "WRAPPERS",
    "Zoneout",
    "antisymmetric",
    "build",
    "cfc",
    "cfn",
    "clockwork",
    "cornn",
    "ctrnn",
    "deltanet",
    "elman",
    "esn",
    "eunn",
    "exprnn",
    "fast",
    "fastweights",
    "from_json",
    "gru",
    "imitate",
    "indrnn",
    "janet",
    "lem",
    "lipschitz",
    "lmu",
    "lru",
    "lstm",
    "lstm_1997",
    "lstm_layer_norm",
    "lstm_multiplicative",
    "lstm_peephole",
    "lstm_projected",
    "lstm_refine",
    "ltc",
    "mgu",
    "mingru",
    "minimalrnn",
    "mlstm",
    "mrnn",
    "nnrnn",
    "plrnn",
    "qrnn",
    "rglru",
    "rhn",
    "s4d",
    "s5",
    "s6",
    "scrn",
    "slstm",
    "spectral",
    "spell",
    "sru",
    "to_json",
    "ugrnn",
    "unicornn",
    "unitary",
    "urnn",
]
