# %% [markdown]
# # train_on_tfds

# %%
print(1)
