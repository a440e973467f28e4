//! Matrix products, and what a layer does to their sums.

use pi0_node::device::{Activation, Device, DeviceError, HostTensor};

use crate::common::gelu::gelu_tanh;
use crate::common::values::values;
use crate::tested::{Tested, wide};

/// `x · weightᵀ + bias`
fn product(x: &[f32], weight: &[f32], bias: &[f32], inputs: usize) -> Vec<f64> {
    x.chunks(inputs)
        .flat_map(|x| {
            weight.chunks(inputs).enumerate().map(move |(output, weight)| {
                let sum: f64 = x
                    .iter()
                    .zip(weight)
                    .map(|(x, w)| f64::from(*x) * f64::from(*w))
                    .sum();
                sum + bias.get(output).map_or(0.0, |&bias| f64::from(bias))
            })
        })
        .collect()
}

pub fn linear_layers_stack_add_their_bias_and_activate<D: Device>(tested: Tested<D>) {
    // More outputs than one task computes, and a number of them that no block divides.
    let (rows, inputs, outputs) = (5, 40, [301, 70]);
    let x_values = values(rows * inputs, 1);
    let weights = outputs.map(|outputs| values(outputs * inputs, 2 + outputs as u32));
    let biases = outputs.map(|outputs| values(outputs, 3 + outputs as u32));
    let expected = product(&x_values, &weights.concat(), &biases.concat(), inputs);
    let device = &tested.device;
    let part = |index: usize| HostTensor::from_f32(&weights[index], &[outputs[index], inputs]);
    let bias = |index: usize| HostTensor::from_f32(&biases[index], &[outputs[index]]);
    let layer = device
        .upload_linear(&[part(0), part(1)], &[bias(0), bias(1)])
        .unwrap();
    let x = tested.upload(&x_values, &[rows, inputs]);
    let silu = |x: f64| x / (1.0 + (-x).exp());
    for (activation, function) in [
        (Activation::None, (|x| x) as fn(f64) -> f64),
        (Activation::GeluTanh, gelu_tanh),
        (Activation::Silu, silu),
    ] {
        let activated: Vec<f64> = expected.iter().map(|&y| function(y)).collect();
        let y = device.linear(&x, &layer, activation);
        tested.expect(&format!("{activation:?}"), y, &[rows, 371], &activated);
    }
    let without_bias = device.upload_linear(&[part(1)], &[]).unwrap();
    let y = device.linear(&x, &without_bias, Activation::None);
    let unbiased = product(&x_values, &weights[1], &[], inputs);
    tested.expect("without bias", y, &[rows, 70], &unbiased);

    let residual = values(rows * 371, 7);
    let on_device = tested.upload(&residual, &[rows, 371]);
    let sums: Vec<f64> = expected.iter().zip(wide(&residual)).map(|(y, r)| y + r).collect();
    tested.expect(
        "residual",
        device.linear_add(&x, &layer, None, &on_device),
        &[rows, 371],
        &sums,
    );
    // Gates of both signs, some of them 0: for all rows, and for each.
    let gated = |sums: &[f64], gates: &[f32], residual: &[f32]| -> Vec<f64> {
        let gates = wide(gates).into_iter().cycle();
        let gated = sums.iter().zip(gates).zip(wide(residual));
        gated.map(|((y, gate), residual)| residual + gate * y).collect()
    };
    let gates = |count, seed| -> Vec<f32> {
        let gates = values(count, seed).into_iter();
        gates.map(|gate| gate.max(-0.5) + 0.25).collect()
    };
    let of_all = |gates: &[f32]| {
        device
            .upload_parameter(&HostTensor::from_f32(gates, &[gates.len()]))
            .unwrap()
    };
    let (gates, gates_of_rows) = (gates(371, 9), gates(rows * 371, 12));
    let y = device.linear_add(&x, &layer, Some(&of_all(&gates)), &on_device);
    let expected_sums = gated(&expected, &gates, &residual);
    tested.expect("gated residual", y, &[rows, 371], &expected_sums);
    let of_rows = tested.upload(&gates_of_rows, &[rows, 371]);
    let y = device.linear_add(&x, &layer, Some(&of_rows), &on_device);
    let expected_sums = gated(&expected, &gates_of_rows, &residual);
    tested.expect("a gate a row", y, &[rows, 371], &expected_sums);
    let as_residual = device.upload_residual_linear(&part(1), None).unwrap();
    let residual = values(rows * 70, 10);
    let on_device_70 = tested.upload(&residual, &[rows, 70]);
    let gate_70 = of_all(&gates[..70]);
    let y = device.linear_add(&x, &as_residual, Some(&gate_70), &on_device_70);
    let expected_sums = gated(&unbiased, &gates[..70], &residual);
    tested.expect(
        "gated residual of a layer for residuals",
        y,
        &[rows, 70],
        &expected_sums,
    );
    let of_rows = tested.upload(&gates_of_rows[..rows * 70], &[rows, 70]);
    let y = device.linear_add(&x, &as_residual, Some(&of_rows), &on_device_70);
    let expected_sums = gated(&unbiased, &gates_of_rows[..rows * 70], &residual);
    tested.expect(
        "a gate a row, of a layer for residuals",
        y,
        &[rows, 70],
        &expected_sums,
    );
    tested.refuse(
        "gates of other rows",
        device.linear_add(&x, &layer, Some(&of_rows), &on_device),
    );
    tested.refuse("gate", device.linear_add(&x, &layer, Some(&gate_70), &on_device));
    let other_bias = values(371, 8);
    let rebiased = device
        .with_bias(&layer, &tested.upload(&other_bias, &[1, 371]))
        .unwrap();
    let rebiased_sums = product(&x_values, &weights.concat(), &other_bias, inputs);
    let y = device.linear(&x, &rebiased, Activation::None);
    tested.expect("another bias", y, &[rows, 371], &rebiased_sums);
    tested.expect(
        "the first bias",
        device.linear(&x, &layer, Activation::None),
        &[rows, 371],
        &expected,
    );

    let narrow = tested.upload(&[0.0; 6], &[2, 3]);
    tested.refuse("residual", device.linear_add(&x, &layer, None, &narrow));
    tested.refuse("bias", device.with_bias(&layer, &narrow));
    tested.refuse("width", device.linear(&narrow, &layer, Activation::None));
    let other = HostTensor::from_f32(&[0.0; 6], &[2, 3]);
    tested.refuse("unequal inputs", device.upload_linear(&[part(0), other], &[]));
    tested.refuse("biases", device.upload_linear(&[part(0)], &[bias(1)]));
    tested.refuse("no weight", device.upload_linear(&[], &[]));
}

pub fn products_are_right_for_every_number_of_rows<D: Device>(tested: Tested<D>) {
    let (inputs, outputs) = (64, 130);
    let weight = values(inputs * outputs, 5);
    let host = HostTensor::from_f32(&weight, &[outputs, inputs]);
    let layer = tested.device.upload_linear(&[host], &[]).unwrap();
    for rows in [0, 1, 2, 7, 51, 129] {
        let x = values(rows * inputs, 6);
        let y = tested
            .device
            .linear(&tested.upload(&x, &[rows, inputs]), &layer, Activation::None);
        let expected = product(&x, &weight, &[], inputs);
        tested.expect(&format!("{rows} rows"), y, &[rows, outputs], &expected);
    }
}

pub fn geglu_gates_one_half_of_a_product_with_the_other<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let (inputs, width) = (40, 33_usize.next_multiple_of(device.tile_size()));
    let (gate, up) = (values(width * inputs, 15), values(width * inputs, 16));
    let shape = [width, inputs];
    let gate_up = [
        HostTensor::from_f32(&gate, &shape),
        HostTensor::from_f32(&up, &shape),
    ];
    let stacked = device.upload_linear(&gate_up, &[]).unwrap();
    let together = device.upload_gated_linear(&gate_up[0], &gate_up[1]).unwrap();
    // Among so many values the largest rounding error is far out, and it grows with the square of the activations.
    let activations = |rows: usize| -> Vec<f32> {
        let halves = values(rows * inputs, 14).into_iter().map(|value| 0.5 * value);
        halves.collect()
    };
    for rows in [5, 300] {
        let x = activations(rows);
        let gates = product(&x, &gate, &[], inputs);
        let ups = product(&x, &up, &[], inputs);
        let expected: Vec<f64> = gates
            .iter()
            .zip(&ups)
            .map(|(gate, up)| gelu_tanh(*gate) * up)
            .collect();
        let x = tested.upload(&x, &[rows, inputs]);
        for (how, layer) in [("stacked", &stacked), ("uploaded together", &together)] {
            let what = format!("geglu of {rows} rows, {how}");
            tested.expect(&what, device.geglu(&x, layer), &[rows, width], &expected);
        }
    }
    let x = tested.upload(&activations(5), &[5, inputs]);
    let odd = HostTensor::from_f32(&gate[..33 * inputs], &[33, inputs]);
    let odd = device.upload_linear(&[odd], &[]).unwrap();
    tested.refuse("odd width", device.geglu(&x, &odd));
    let narrow = HostTensor::from_f32(&up[..width * 8], &[width, 8]);
    let narrow = device.upload_gated_linear(&gate_up[0], &narrow);
    tested.refuse("gate and up of different inputs", narrow.map(drop));
}

pub fn embedding_looks_rows_up_and_scales_them<D: Device>(tested: Tested<D>) {
    let table = values(7 * 4, 7);
    let device = &tested.device;
    let on_device = device
        .upload_table(&HostTensor::from_f32(&table, &[7, 4]))
        .unwrap();
    let expected: Vec<f64> = [6, 0, 6]
        .iter()
        .flat_map(|row| wide(&table[row * 4..][..4]))
        .map(|value| 3.0 * value)
        .collect();
    let mut ids = device.upload_token_ids(&on_device, &[1, 5, 2]).unwrap();
    device.write_token_ids(&on_device, &mut ids, &[6, 0, 6]).unwrap();
    tested.expect(
        "rows",
        device.embedding(&on_device, &ids, 3.0),
        &[3, 4],
        &expected,
    );
    let beyond = device.upload_token_ids(&on_device, &[0, 7]).map(drop);
    let over_others = device.write_token_ids(&on_device, &mut ids, &[0, 7, 0]);
    for beyond in [beyond, over_others] {
        assert!(matches!(
            beyond,
            Err(DeviceError::Token {
                token: 7,
                vocab_size: 7
            })
        ));
    }
    let fewer = device.write_token_ids(&on_device, &mut ids, &[0]);
    assert!(matches!(fewer, Err(DeviceError::Shape { .. })));
    tested.refuse(
        "a vector",
        device.upload_table(&HostTensor::from_f32(&table, &[28])),
    );
}
